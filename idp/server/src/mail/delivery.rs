//! Sends the outbox: claims mails, several at once, makes their links at the last moment, hands them to the mail server,
//! and deletes them. What follows a failure is a rule ([`idp_core::mail_server`]).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use idp_core::audit::{Actor, AuditEvent, AuditRecord, AuditSource};
use idp_core::mail_server::{Reaction, SmtpStep, Trouble, mail_wait, reaction, takes_mail};
use idp_core::time::{MINUTE, Timestamp};
use idp_store::{ClaimedMail, LeftOut, MOST_LEFT_OUT, Mail, StoreError};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::mail::availability::{AT_ONCE, Refusal};
use crate::mail::contents::{self, Unmade};
use crate::mail::server::{LONGEST, MailServer, SmtpFailure};
use crate::mail::transport::{SentMail, Transport};
use crate::state::Shared;

/// How long a claimed mail is kept from other senders.
const LEASE: Duration = MINUTE.saturating_mul(5);
// Otherwise another node could send a mail that is still being sent here.
const _: () = assert!(LONGEST.as_secs() < LEASE.as_secs());

/// How many mails to one domain are sent at once. Its mail server may be slow, and anybody can register its addresses.
const AT_ONCE_PER_DOMAIN: usize = 2;
/// How many mails that failed before are sent at once: slow ones must leave room for new mail.
const RETRIES_AT_ONCE: usize = AT_ONCE / 2;
const _: () = assert!(AT_ONCE / AT_ONCE_PER_DOMAIN <= MOST_LEFT_OUT);

/// A mail in progress.
struct Running {
    /// The domain to which the recipient's belongs, if the row could be read.
    domain: Option<String>,
    is_retry: bool,
}

impl Running {
    fn of(claimed: &ClaimedMail) -> Self {
        let domain = |mail: &Mail| registered_domain(mail.recipient.key()).to_owned();
        Self { domain: claimed.mail.as_ref().ok().map(domain), is_retry: claimed.attempts > 1 }
    }
}

/// The last two labels of an address's domain. Whoever has a domain has as many names below it as they like, so those
/// count as one. So do all names below a registry such as `co.uk`; mail to them is not slow because of that, unless their
/// servers are.
fn registered_domain(address: &str) -> &str {
    let domain = address.rsplit_once('@').map_or(address, |(_, domain)| domain);
    let second = domain.rmatch_indices('.').nth(1);
    second.map_or(domain, |(dot, _)| &domain[dot + 1..])
}

/// The mails in progress. Dropping this cuts them off.
#[derive(Default)]
pub(crate) struct Senders {
    running: Mutex<JoinSet<()>>,
    /// By their ids. If the clock jumps past a lease, the mail is claimed again; but it is not sent twice.
    mails: Arc<Mutex<HashMap<String, Running>>>,
}

impl Senders {
    fn busy(&self) -> usize {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        while running.try_join_next().is_some() {}
        running.len()
    }

    fn start(&self, app: &Shared, claimed: ClaimedMail) {
        let id = claimed.id.clone();
        match self.mails.lock().unwrap_or_else(PoisonError::into_inner).entry(id.clone()) {
            Entry::Occupied(_) => return,
            Entry::Vacant(place) => {
                place.insert(Running::of(&claimed));
            }
        }
        let (app, mails) = (Shared::clone(app), Arc::clone(&self.mails));
        self.running.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move {
            let sent = AssertUnwindSafe(send(&app, claimed)).catch_unwind().await;
            mails.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            if sent.is_err() {
                tracing::error!(mail_id = id, "a panic while a mail was sent");
            }
            // There is room again, and perhaps another mail for the same recipient.
            app.mailer.wake();
        });
    }

    /// The mails that have to wait for some of those in progress.
    fn left_out(&self) -> LeftOut {
        let mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        let mut domains: HashMap<&str, usize> = HashMap::new();
        for domain in mails.values().filter_map(|mail| mail.domain.as_deref()) {
            *domains.entry(domain).or_default() += 1;
        }
        let full = domains.into_iter().filter(|(_, count)| *count >= AT_ONCE_PER_DOMAIN);
        LeftOut {
            domains: full.map(|(domain, _)| domain.to_owned()).collect(),
            retries: mails.values().filter(|mail| mail.is_retry).count() >= RETRIES_AT_ONCE,
        }
    }

    /// Waits for the mails in progress.
    pub(crate) async fn finish(self) {
        let mut running = self.running.into_inner().unwrap_or_else(PoisonError::into_inner);
        while running.join_next().await.is_some() {}
    }
}

/// Begins to send the mails that are due, as many at once as there is room for. It does not wait for them: a slow one
/// holds up nothing but itself and later mails to its recipient.
pub(crate) async fn round(app: &Shared, senders: &Senders, stop: &watch::Receiver<bool>) {
    if let Transport::Smtp(server) = &app.mailer.transport {
        server.close_idle().await;
        if server.availability.is_wide_again(app.clock.now()) {
            tracing::info!(server = server.shown, "as many mails as usual are sent at once again");
        }
    }
    if let Err(error) = start_due(app, senders, stop).await {
        tracing::error!(%error, "the outbox cannot be read");
    }
}

async fn start_due(app: &Shared, senders: &Senders, stop: &watch::Receiver<bool>) -> Result<(), StoreError> {
    while !*stop.borrow() && senders.busy() < app.mailer.room(app.clock.now()) {
        let now = app.clock.now();
        let input = (senders.left_out(), now);
        let claimed = app
            .store
            .write(input, |tx, (left_out, now)| Box::pin(tx.claim_mail(LEASE, left_out, *now)))
            .await?;
        let Some(claimed) = claimed else { return Ok(()) };
        senders.start(app, claimed);
    }
    Ok(())
}

/// Sends one mail and records what became of it.
async fn send(app: &Shared, claimed: ClaimedMail) {
    let kind = claimed.mail.as_ref().map_or("unreadable", |mail| mail.kind.as_str());
    let settled = match deliver(app, &claimed).await {
        Ok(()) => {
            tracing::info!(mail_id = claimed.id, kind, "mail handed over");
            app.store.write(claimed.id, |tx, id| Box::pin(tx.delete_mail(id))).await
        }
        Err(failure) => fail(app, &claimed, kind, &failure).await,
    };
    if let Err(error) = settled {
        tracing::error!(%error, "the outbox cannot be written; a mail may arrive twice");
    }
}

#[derive(Debug, thiserror::Error)]
enum DeliveryFailure {
    #[error(transparent)]
    Unmade(#[from] Unmade),
    #[error("a panic")]
    Panicked,
    /// In words for the log, and as it is.
    #[error("{0}")]
    Smtp(String, SmtpFailure),
}

/// Where the conversation failed, for the log.
fn place(failure: &SmtpFailure) -> &'static str {
    match failure.trouble {
        Trouble::Reply { .. } => "refused by the mail server",
        Trouble::Tls => "no TLS with the mail server",
        Trouble::Protocol => "protocol error with the mail server",
        Trouble::Silence if failure.step == SmtpStep::Connection => "no connection to the mail server",
        Trouble::Silence => "no answer from the mail server",
    }
}

/// Any error, even a panic, fails this mail only: it waits, and the others are sent.
async fn deliver(app: &Shared, claimed: &ClaimedMail) -> Result<(), DeliveryFailure> {
    let mail = claimed.mail.as_ref().map_err(|error| Unmade::from(error.clone()))?;
    AssertUnwindSafe(hand_over(app, mail)).catch_unwind().await.unwrap_or(Err(DeliveryFailure::Panicked))
}

async fn hand_over(app: &Shared, mail: &Mail) -> Result<(), DeliveryFailure> {
    // The registration may be over: then there is nothing left to prove.
    let Some(composed) = contents::compose(app, mail).await? else { return Ok(()) };
    match &app.mailer.transport {
        Transport::Mailbox => {
            let contents::Composed { subject, text, html } = composed;
            let (id, to) = (mail.id.to_string(), mail.recipient.to_string());
            app.mailer.remember(SentMail { id, to, subject, text, html, at: app.clock.now() });
            Ok(())
        }
        Transport::Smtp(server) => {
            let sent = server.send(&contents::message(app, mail, composed)?).await;
            let takes_mail = sent.as_ref().err().is_none_or(|why| takes_mail(why.step, why.trouble));
            if takes_mail {
                log_availability(server, app.clock.now());
            }
            let shown = |failure: &SmtpFailure| format!("{} {}: {failure}", place(failure), server.shown);
            sent.map_err(|failure| DeliveryFailure::Smtp(shown(&failure), failure))
        }
    }
}

/// Logs what the operator does not know yet of a server that has just taken mail.
fn log_availability(server: &MailServer, now: Timestamp) {
    if server.availability.works() {
        tracing::info!(server = server.shown, "the mail server takes mail again");
    }
    let Some((at_once, refusal)) = server.availability.narrowed(now) else { return };
    let Refusal { step, trouble, shown: failure } = refusal;
    tracing::warn!(
        at_once,
        step = step.as_str(),
        class = trouble.class(),
        code = trouble.code(),
        %failure,
        to_do = "nothing if no mail is late; otherwise ask whoever runs the mail server how many connections it takes from here",
        "fewer mails than usual are sent at once, because the mail server refused one more connection"
    );
}

/// Logs why a mail was not handed over, and does what follows.
async fn fail(
    app: &Shared,
    mail: &ClaimedMail,
    kind: &'static str,
    failure: &DeliveryFailure,
) -> Result<(), StoreError> {
    let (attempt, wait) = (mail.attempts, mail_wait(mail.attempts));
    let seconds = wait.as_secs();
    let (DeliveryFailure::Smtp(shown, smtp), Transport::Smtp(server)) = (failure, &app.mailer.transport)
    else {
        tracing::warn!(mail_id = mail.id, kind, attempt, %failure, seconds, "mail not handed over; tried again later");
        return retry(app, mail, kind, Turn::Later, wait).await;
    };
    if smtp.is_crowded() {
        let refusal = Refusal { step: smtp.step, trouble: smtp.trouble, shown: shown.clone() };
        let at_once = server.availability.crowded(smtp.others, refusal, app.clock.now());
        tracing::debug!(
            mail_id = mail.id, kind, attempt, %failure, at_once, "too many connections; mail waits for another"
        );
        return retry(app, mail, kind, Turn::Kept, Duration::ZERO).await;
    }
    let (step, class, code) = (smtp.step.as_str(), smtp.trouble.class(), smtp.trouble.code());
    let to_do = to_do(smtp);
    let reaction = reaction(smtp.step, smtp.trouble);
    match reaction {
        Reaction::RetryMail => {
            tracing::warn!(
                mail_id = mail.id, kind, attempt, step, class, code, %failure, to_do, seconds,
                "mail not handed over; tried again later"
            );
            retry(app, mail, kind, Turn::Later, wait).await
        }
        Reaction::GiveUpMail => {
            tracing::warn!(mail_id = mail.id, kind, attempt, step, class, code, %failure, to_do, "mail given up");
            give_up(app, mail, kind).await
        }
        Reaction::WaitForServer | Reaction::WaitForOperator => {
            let for_operator = reaction == Reaction::WaitForOperator;
            let is_new = server.availability.failed(smtp.step, smtp.trouble, for_operator, app.clock.now());
            match (is_new, for_operator) {
                (false, _) => {
                    tracing::debug!(mail_id = mail.id, kind, attempt, %failure, "mail not handed over")
                }
                (true, false) => tracing::warn!(
                    mail_id = mail.id, kind, attempt, step, class, code, %failure, to_do,
                    "mail not handed over; all mail waits until the mail server takes it"
                ),
                (true, true) => tracing::error!(
                    mail_id = mail.id, kind, attempt, step, class, code, %failure, to_do,
                    "mail not handed over; all mail waits until this is mended"
                ),
            }
            // A sender that was refused may have been refused in this mail only, so another mail tries next.
            let turn = if smtp.step == SmtpStep::Sender { Turn::Later } else { Turn::Kept };
            retry(app, mail, kind, turn, wait).await
        }
    }
}

/// What the operator can do about a failure.
fn to_do(failure: &SmtpFailure) -> &'static str {
    match (reaction(failure.step, failure.trouble), failure.step) {
        (Reaction::WaitForServer, _) => {
            "nothing if it passes; otherwise see whether the mail server runs, can be reached from here and has room"
        }
        (Reaction::WaitForOperator, _) if failure.trouble == Trouble::Tls => {
            "check the host and port in mail.smtp_url, and the mail server's certificate and STARTTLS"
        }
        (Reaction::WaitForOperator, SmtpStep::Auth) => match failure.trouble {
            Trouble::Reply { code: 530 | 538, .. } => {
                "the mail server wants TLS before the password: see whether it offers STARTTLS, or use smtps://"
            }
            // 504: the library found no mechanism that the server and it both know, or the server does not know ours.
            Trouble::Protocol | Trouble::Reply { code: 500..=504, .. } => {
                "see whether the mail server offers AUTH PLAIN or LOGIN here; if it wants no password, leave it out of \
                 mail.smtp_url"
            }
            _ => "check the user and password in mail.smtp_url",
        },
        (Reaction::WaitForOperator, SmtpStep::Sender) => {
            "check mail.from, which the mail server must accept as a sender, and the user and password in mail.smtp_url"
        }
        (Reaction::WaitForOperator, _) => {
            "check the host and port in mail.smtp_url, and whether that mail server accepts mail from this machine"
        }
        (Reaction::GiveUpMail, _) => {
            "nothing, unless many mails are refused: then ask whoever runs the mail server"
        }
        (Reaction::RetryMail, _) => match failure.trouble {
            trouble if trouble.is_about_the_sender() => {
                "check mail.from, which the mail server must accept as a sender"
            }
            Trouble::Reply { code: 500.., .. } => {
                "see whether the mail server accepts mail for other domains from this machine, whether it accepts \
                 mail.from as a sender, and whether it wants a user and password in mail.smtp_url; nothing if only \
                 this recipient is refused"
            }
            _ => "nothing, unless it goes on for hours: then ask whoever runs the mail server",
        },
    }
}

/// What becomes of a mail's turn when it was not handed over.
#[derive(Clone, Copy)]
enum Turn {
    /// The mail itself failed: it is tried again after the wait.
    Later,
    /// Something else failed: it keeps its place before later mails, and its number of tries.
    Kept,
}

/// Tries a mail again, or gives it up if it is a day old after `wait`.
async fn retry(
    app: &Shared,
    mail: &ClaimedMail,
    kind: &'static str,
    turn: Turn,
    wait: Duration,
) -> Result<(), StoreError> {
    let now = app.clock.now();
    let input = (mail.id.clone(), turn, now.plus(wait), record(mail, kind, now));
    app.store
        .write(input, |tx, (id, turn, next, given_up)| {
            Box::pin(async move {
                let kept = match turn {
                    Turn::Later => tx.postpone_mail(id, *next).await?,
                    Turn::Kept => tx.return_mail(id, *next).await?,
                };
                if !kept {
                    tx.audit(given_up).await?;
                }
                Ok(())
            })
        })
        .await
}

async fn give_up(app: &Shared, mail: &ClaimedMail, kind: &'static str) -> Result<(), StoreError> {
    let input = (mail.id.clone(), record(mail, kind, app.clock.now()));
    app.store
        .write(input, |tx, (id, given_up)| {
            Box::pin(async move {
                tx.delete_mail(id).await?;
                tx.audit(given_up).await
            })
        })
        .await
}

/// The audit record of a mail that is given up.
fn record(mail: &ClaimedMail, kind: &'static str, now: Timestamp) -> AuditRecord {
    AuditRecord {
        at: now,
        event: AuditEvent::MailGivenUp,
        actor: Actor::System,
        subject: Some(mail.subject.clone()),
        client_id: None,
        source: AuditSource::default(),
        detail: kind,
    }
}
