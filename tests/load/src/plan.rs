//! What is measured, in which order.

use std::sync::Arc;
use std::time::Duration;

use crate::aims;
use crate::arguments::{OneArguments, ReportArguments, ServerArguments};
use crate::drive::{Pace, Timing, Worker, drive};
use crate::limits::{BareLoops, BareServers, product_headers};
use crate::people::{Members, World};
use crate::process;
use crate::product::{Product, Site};
use crate::report::{self, Compared, Figures, Line, Report, summary};
use crate::scenarios::Kind;
use crate::stats::ratio;

/// What the closed loops repeat. Sign-ins come after them, with connections of their own number.
const CLOSED: [Kind; 6] =
    [Kind::Discovery, Kind::Jwks, Kind::Userinfo, Kind::Refresh, Kind::Code, Kind::Mixed];
/// More at once would only wait for each other, and the server counts tries that are not answered yet.
pub(crate) const LOGINS: usize = 8;
/// The fixed rate of jwks, a second, and its connections.
const STEADY: (u32, usize) = (2_000, 16);
/// How long a server rests before its idle memory is read.
const SETTLE: Duration = Duration::from_secs(2);

/// A started server with people in it.
pub(crate) struct Stage {
    site: Site,
    product: Product,
    world: Arc<World>,
    timing: Timing,
    report: Report,
}

impl Stage {
    pub(crate) async fn set(arguments: &ServerArguments, timing: Timing) -> anyhow::Result<Self> {
        let load_before = process::load_average()?;
        let site = Site::prepare(arguments).await?;
        let members = Members::register(site.command_line(), arguments.id_token)?;
        let first = site.start().await?;
        let first_ready_seconds = first.ready.as_secs_f64();
        first.stop().await?;
        let product = site.start().await?;
        tokio::time::sleep(SETTLE).await;
        let memory_idle_mb = process::memory_mb(product.pid())?;
        let world = World::enter(site.target().clone(), members, arguments.id_token).await?;
        let report = Report {
            engine: if arguments.postgres.is_some() { "PostgreSQL" } else { "SQLite" },
            id_token: arguments.id_token.as_str(),
            binary: site.command_line().binary().to_owned(),
            load_before,
            warm_up_seconds: timing.warm_up.as_secs(),
            round_seconds: timing.round.as_secs(),
            rounds: timing.rounds,
            first_ready_seconds,
            ready_seconds: product.ready.as_secs_f64(),
            memory_idle_mb,
            memory_after_mb: memory_idle_mb,
            bare_loops: None,
            bare_servers: Vec::new(),
            lines: Vec::new(),
            verdicts: Vec::new(),
        };
        Ok(Self { site, product, world: Arc::new(world), timing, report })
    }

    async fn measure_bare(&mut self, connections: &[usize]) -> anyhow::Result<()> {
        say("bare loops");
        self.report.bare_loops = Some(BareLoops::measure(self.timing, self.site.folder())?);
        let headers = product_headers(&self.world.target).await?;
        for &count in connections {
            say(&format!("bare servers, {count} connections"));
            self.report.bare_servers.push(BareServers::measure(count, self.timing, &headers).await?);
        }
        Ok(())
    }

    /// One scenario alone.
    async fn measure(&mut self, scenario: Kind, connections: usize, pace: Pace) -> anyhow::Result<()> {
        say(&format!("{}, {connections} connections", scenario.as_str()));
        let figures = self.figures(scenario, connections, pace).await?;
        let bare = match pace {
            Pace::Closed => self.compare(scenario, connections, figures.rate),
            Pace::Fixed(_) => Vec::new(),
        };
        self.report.lines.push(Line {
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
        scenario: Kind,
        connections: usize,
        pace: Pace,
    ) -> anyhow::Result<Figures> {
        let workers = Worker::seats(&self.world, scenario, connections).await?;
        let rounds = drive(workers, pace, self.timing, self.product.pid()).await?;
        Ok(summary(&rounds, self.timing))
    }

    /// Stops the server and removes what it left.
    pub(crate) async fn strike(self) -> anyhow::Result<()> {
        self.product.stop().await?;
        self.site.clear().await
    }

    /// jwks at a fixed rate while people sign in.
    async fn measure_beside_logins(&mut self) -> anyhow::Result<()> {
        say("jwks at a fixed rate beside logins");
        let (rate, connections) = STEADY;
        let steady = Worker::seats(&self.world, Kind::Jwks, connections).await?;
        let logins = Worker::seats(&self.world, Kind::Login, LOGINS).await?;
        let (timing, pid) = (self.timing, self.product.pid());
        let (steady, logins) = tokio::try_join!(
            drive(steady, Pace::Fixed(rate), timing, pid),
            drive(logins, Pace::Closed, timing, pid),
        )?;
        for (scenario, connections, rate, beside, rounds) in [
            (Kind::Jwks, connections, Some(rate), "8 logins", steady),
            (Kind::Login, LOGINS, None, "jwks at 2000/s", logins),
        ] {
            let mut figures = summary(&rounds, timing);
            figures.cpu_us = None;
            self.report.lines.push(Line {
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

    /// The bare figures a scenario is held against. The aim of documents, "of a bare hello with all security headers
    /// on", can be read as either of two.
    fn compare(&self, scenario: Kind, connections: usize, rate: f64) -> Vec<Compared> {
        let servers = self.report.bare_servers.iter().find(|bare| bare.connections == connections);
        let of = |name, figures: fn(&BareServers) -> &Figures| Some((name, figures(servers?).rate));
        let found = match scenario {
            Kind::Login => [self.report.bare_loops.map(|loops| ("bare argon2id", loops.hashes)), None],
            Kind::Discovery | Kind::Jwks => [
                of("bare hello + headers", |bare| &bare.hello_with_headers),
                of("bare hello", |bare| &bare.hello),
            ],
            Kind::Userinfo | Kind::Refresh | Kind::Code => {
                [of("bare form + sign", |bare| &bare.form_and_sign), None]
            }
            Kind::Mixed => [None, None],
        };
        let compared = |(name, bare)| Compared { name, rate: bare, ratio: ratio(rate, bare) };
        found.into_iter().flatten().map(compared).collect()
    }

    async fn end(mut self, name: &str) -> anyhow::Result<()> {
        tokio::time::sleep(SETTLE).await;
        self.report.memory_after_mb = process::memory_mb(self.product.pid())?;
        self.product.stop().await?;
        self.site.clear().await?;
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

/// Progress goes to standard error, so that the report alone can be kept.
fn say(what: &str) {
    eprintln!("measuring {what}");
}

/// `load report`.
pub(crate) async fn report(arguments: ReportArguments) -> anyhow::Result<()> {
    let mut stage = Stage::set(&arguments.server, Timing::from(&arguments.timing)).await?;
    stage.measure_bare(&arguments.connections).await?;
    for &connections in &arguments.connections {
        for scenario in CLOSED {
            stage.measure(scenario, connections, Pace::Closed).await?;
        }
    }
    stage.measure(Kind::Login, LOGINS, Pace::Closed).await?;
    stage.measure(Kind::Jwks, STEADY.1, Pace::Fixed(STEADY.0)).await?;
    stage.measure_beside_logins().await?;
    stage.report.verdicts = aims::verdicts(&stage.report);
    stage.end(arguments.server.name.as_deref().unwrap_or("report")).await
}

/// `load one`.
pub(crate) async fn one(arguments: OneArguments) -> anyhow::Result<()> {
    let mut stage = Stage::set(&arguments.server, Timing::from(&arguments.timing)).await?;
    let pace = arguments.rate.map_or(Pace::Closed, Pace::Fixed);
    stage.measure(arguments.scenario, arguments.connections, pace).await?;
    stage.end(arguments.server.name.as_deref().unwrap_or(arguments.scenario.as_str())).await
}
