//! What is measured, in which order.

use std::sync::Arc;
use std::time::Duration;

use crate::aims;
use crate::arguments::{BesideArguments, OneArguments, ReportArguments, ServerArguments};
use crate::drive::{Pace, Schedule, Worker, drive};
use crate::limits::{BareLoopFigures, BareServerFigures, server_headers};
use crate::people::{Accounts, Fixture};
use crate::process;
use crate::report::{self, BareComparison, Figures, Measurement, Report, summary};
use crate::scenarios::ScenarioKind;
use crate::server::{Installation, Server};
use crate::stats::ratio;

/// The scenarios for closed loops. Sign-ins come after them, with a number of connections of their own.
const CLOSED: [ScenarioKind; 6] = [
    ScenarioKind::Discovery,
    ScenarioKind::Jwks,
    ScenarioKind::Userinfo,
    ScenarioKind::Refresh,
    ScenarioKind::Code,
    ScenarioKind::Mixed,
];
/// Connections that sign in. More would only wait for each other, and the server also counts tries under way.
pub(crate) const LOGINS: usize = 8;
/// For jwks at a fixed rate: operations per second, and connections.
const FIXED_RATE: (u32, usize) = (2_000, 16);
/// How long the server is idle before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);

/// A running server with people and a client, and what has been measured so far.
pub(crate) struct LoadTest {
    installation: Installation,
    server: Server,
    fixture: Arc<Fixture>,
    schedule: Schedule,
    report: Report,
}

impl LoadTest {
    pub(crate) async fn start(arguments: &ServerArguments, schedule: Schedule) -> anyhow::Result<Self> {
        let load_before = process::load_average()?;
        let installation = Installation::prepare(arguments).await?;
        let accounts = Accounts::create(installation.command_line(), arguments.id_token)?;
        let first = installation.start().await?;
        let first_ready_seconds = first.ready.as_secs_f64();
        first.stop().await?;
        let server = installation.start().await?;
        tokio::time::sleep(SETTLE).await;
        let memory_idle_mb = process::memory_mb(server.pid())?;
        let fixture =
            Fixture::sign_in_everybody(installation.target().clone(), accounts, arguments.id_token).await?;
        let report = Report {
            engine: if arguments.postgres.is_some() { "PostgreSQL" } else { "SQLite" },
            id_token: arguments.id_token.as_str(),
            scheduling: arguments.scheduling.clone(),
            binary: installation.command_line().binary().to_owned(),
            load_before,
            warm_up_seconds: schedule.warm_up.as_secs(),
            round_seconds: schedule.round.as_secs(),
            rounds: schedule.rounds,
            first_ready_seconds,
            ready_seconds: server.ready.as_secs_f64(),
            memory_idle_mb,
            memory_after_mb: memory_idle_mb,
            bare_loops: None,
            bare_servers: Vec::new(),
            lines: Vec::new(),
            verdicts: Vec::new(),
        };
        Ok(Self { installation, server, fixture: Arc::new(fixture), schedule, report })
    }

    async fn measure_bare(&mut self, connections: &[usize]) -> anyhow::Result<()> {
        progress("bare loops");
        self.report.bare_loops = Some(BareLoopFigures::measure(self.schedule, self.installation.folder())?);
        let headers = server_headers(&self.fixture.target).await?;
        for &count in connections {
            progress(&format!("bare servers, {count} connections"));
            self.report.bare_servers.push(BareServerFigures::measure(count, self.schedule, &headers).await?);
        }
        Ok(())
    }

    /// Measures one scenario alone.
    async fn measure(
        &mut self,
        scenario: ScenarioKind,
        connections: usize,
        pace: Pace,
    ) -> anyhow::Result<()> {
        progress(&format!("{}, {connections} connections", scenario.as_str()));
        let figures = self.figures(scenario, connections, pace).await?;
        let bare = match pace {
            Pace::Closed => self.compare(scenario, connections, figures.rate),
            Pace::Fixed(_) => Vec::new(),
        };
        self.report.lines.push(Measurement {
            scenario,
            connections,
            rate: rate_of(pace),
            beside: None,
            figures,
            bare,
        });
        Ok(())
    }

    /// The figures of one scenario alone.
    pub(crate) async fn figures(
        &self,
        scenario: ScenarioKind,
        connections: usize,
        pace: Pace,
    ) -> anyhow::Result<Figures> {
        let workers = Worker::for_server(&self.fixture, scenario, connections).await?;
        let rounds = drive(workers, pace, self.schedule, self.server.pid()).await?;
        Ok(summary(&rounds, self.schedule))
    }

    /// Stops the server and removes its database.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.server.stop().await?;
        self.installation.remove().await
    }

    /// Measures jwks at a fixed rate, first alone, then while people sign in.
    async fn measure_fixed_rate(&mut self) -> anyhow::Result<()> {
        let (rate, connections) = FIXED_RATE;
        self.measure(ScenarioKind::Jwks, connections, Pace::Fixed(rate)).await?;
        self.measure_beside_logins().await
    }

    /// Measures jwks at a fixed rate while people sign in.
    async fn measure_beside_logins(&mut self) -> anyhow::Result<()> {
        progress("jwks at a fixed rate beside logins");
        let (rate, connections) = FIXED_RATE;
        let steady = Worker::for_server(&self.fixture, ScenarioKind::Jwks, connections).await?;
        let logins = Worker::for_server(&self.fixture, ScenarioKind::Login, LOGINS).await?;
        let (schedule, pid) = (self.schedule, self.server.pid());
        let (steady, logins) = tokio::try_join!(
            drive(steady, Pace::Fixed(rate), schedule, pid),
            drive(logins, Pace::Closed, schedule, pid),
        )?;
        for (scenario, connections, rate, beside, rounds) in [
            (ScenarioKind::Jwks, connections, Some(rate), "8 logins", steady),
            (ScenarioKind::Login, LOGINS, None, "jwks at 2000/s", logins),
        ] {
            let mut figures = summary(&rounds, schedule);
            figures.cpu_us = None;
            self.report.lines.push(Measurement {
                scenario,
                connections,
                rate,
                beside: Some(beside),
                figures,
                bare: Vec::new(),
            });
        }
        Ok(())
    }

    /// The bare figures to compare a scenario with. The aim for documents, "of a bare hello with all security headers
    /// on", can be read in two ways, so they have two.
    fn compare(&self, scenario: ScenarioKind, connections: usize, rate: f64) -> Vec<BareComparison> {
        let servers = self.report.bare_servers.iter().find(|bare| bare.connections == connections);
        let of = |name, figures: fn(&BareServerFigures) -> &Figures| Some((name, figures(servers?).rate));
        let found = match scenario {
            ScenarioKind::Login => {
                [self.report.bare_loops.map(|loops| ("bare argon2id", loops.hashes)), None]
            }
            ScenarioKind::Discovery | ScenarioKind::Jwks => [
                of("bare hello + headers", |bare| &bare.hello_with_headers),
                of("bare hello", |bare| &bare.hello),
            ],
            ScenarioKind::Userinfo | ScenarioKind::Refresh | ScenarioKind::Code => {
                [of("bare form + sign", |bare| &bare.form_and_sign), None]
            }
            ScenarioKind::Mixed => [None, None],
        };
        let compared = |(name, bare)| BareComparison { name, rate: bare, ratio: ratio(rate, bare) };
        found.into_iter().flatten().map(compared).collect()
    }

    async fn finish(mut self, name: &str) -> anyhow::Result<()> {
        tokio::time::sleep(SETTLE).await;
        self.report.memory_after_mb = process::memory_mb(self.server.pid())?;
        self.server.stop().await?;
        self.installation.remove().await?;
        report::print(&self.report);
        report::write(&self.report, name)
    }
}

fn rate_of(pace: Pace) -> Option<u32> {
    match pace {
        Pace::Closed => None,
        Pace::Fixed(rate) => Some(rate),
    }
}

/// Progress goes to standard error, so that standard output is the report alone.
fn progress(what: &str) {
    eprintln!("measuring {what}");
}

/// `load report`.
pub(crate) async fn report(arguments: ReportArguments) -> anyhow::Result<()> {
    let mut test = LoadTest::start(&arguments.server, Schedule::from(&arguments.schedule)).await?;
    test.measure_bare(&arguments.connections).await?;
    for &connections in &arguments.connections {
        for scenario in CLOSED {
            test.measure(scenario, connections, Pace::Closed).await?;
        }
    }
    test.measure(ScenarioKind::Login, LOGINS, Pace::Closed).await?;
    test.measure_fixed_rate().await?;
    test.report.verdicts = aims::verdicts(&test.report);
    test.finish(arguments.server.name.as_deref().unwrap_or("report")).await
}

/// `load one`.
pub(crate) async fn one(arguments: OneArguments) -> anyhow::Result<()> {
    let mut test = LoadTest::start(&arguments.server, Schedule::from(&arguments.schedule)).await?;
    let pace = arguments.rate.map_or(Pace::Closed, Pace::Fixed);
    test.measure(arguments.scenario, arguments.connections, pace).await?;
    test.finish(arguments.server.name.as_deref().unwrap_or(arguments.scenario.as_str())).await
}

/// `load beside`.
pub(crate) async fn beside(arguments: BesideArguments) -> anyhow::Result<()> {
    let mut test = LoadTest::start(&arguments.server, Schedule::from(&arguments.schedule)).await?;
    test.measure_fixed_rate().await?;
    test.report.verdicts = aims::verdicts(&test.report);
    let scheduling = arguments.server.scheduling.as_deref().unwrap_or("default");
    let name = arguments.server.name.unwrap_or_else(|| format!("beside-{scheduling}"));
    test.finish(&name).await
}
