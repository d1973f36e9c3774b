//! R-01: a node is killed with kill -9 at any moment while it writes. Afterwards everything it had acknowledged is
//! there, and nothing is half done.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use idp_core::audit::{Actor, AuditEvent, AuditRecord, AuditSource};
use idp_core::ids::{GrantId, SessionId, UserId};
use idp_core::oauth::grant::{Grant, Lifetimes};
use idp_core::secret::random_bytes;
use idp_core::session::SessionLifetime;
use idp_core::time::DAY;
use idp_store::{Engine, Store};

use crate::given::{NOW, OFFLINE, SignedInPerson, after, new_session};
use crate::harness::processes::{Part, Process};
use crate::harness::{TestDatabase, is_proof};

contract! { r_01_killing_a_node_loses_no_acknowledged_write_and_leaves_none_half_done }

/// Kills on each engine, in the normal run and in the proof.
const KILLS: [usize; 2] = [50, 2_000];
/// After this many kills the tables are large enough; the proof then continues in a new database.
const KILLS_OF_A_DATABASE: usize = 25;

async fn r_01_killing_a_node_loses_no_acknowledged_write_and_leaves_none_half_done(database: TestDatabase) {
    let (kills, mut acknowledged) = (KILLS[usize::from(is_proof())], 0);
    for first in (0..kills).step_by(KILLS_OF_A_DATABASE) {
        empty(&database).await;
        for kill in first..kills.min(first + KILLS_OF_A_DATABASE) {
            acknowledged += kill_and_look(&database, kill).await;
        }
    }
    assert!(acknowledged > kills * 10, "only {acknowledged} writes in {kills} lives: nothing was tried");
    let engine = database.engine;
    println!("proof: r_01 kill -9 on {engine:?}: {kills} kills, {acknowledged} acknowledged writes, 0 lost");
}

/// Starts a node, kills it and checks what is left. Returns how many writes it had acknowledged.
async fn kill_and_look(database: &TestDatabase, kill: usize) -> usize {
    let mut node = Process::spawn(Part::Write, &database.url);
    let user: UserId = node.hear("user").parse().unwrap();
    let said = node.listen();
    let moment = 50 + u64::from(u16::from_be_bytes(random_bytes())) % 250;
    tokio::time::sleep(Duration::from_millis(moment)).await;
    node.kill();

    let said = said.join().unwrap();
    let whole = said.rfind('\n').map_or("", |end| &said[..end]);
    let acknowledged: Vec<&str> = whole.lines().collect();
    let store = database.open().await;
    store.require_current().await.unwrap();
    assert_integrity(database).await;
    let left = Remains::by(database, user).await;
    for line in &acknowledged {
        assert!(left.has(line), "kill {kill} after {moment} ms: `{line}` was acknowledged and is not there");
    }
    assert_nothing_by_half(database, user).await;
    store.close().await;
    acknowledged.len()
}

/// What a node had written when it died.
struct Remains {
    sessions: Vec<String>,
    codes: Vec<String>,
    generations: HashMap<String, i64>,
}

impl Remains {
    async fn by(database: &TestDatabase, user: UserId) -> Self {
        let mine = format!("WHERE user_id = '{user}'");
        let grants = database.dump(&format!("SELECT id, generation FROM grants {mine}")).await;
        Self {
            sessions: database.dump(&format!("SELECT id FROM sessions {mine}")).await,
            codes: database.dump(&format!("SELECT grant_id FROM codes {mine}")).await,
            generations: grants.iter().map(|row| grant(row)).collect(),
        }
    }

    /// Whether the write acknowledged by a line is there. A grant may have been rotated further without an
    /// acknowledgement.
    fn has(&self, line: &str) -> bool {
        let words: Vec<&str> = line.split(' ').collect();
        let there = |rows: &[String], id: &str| rows.contains(&format!("Some({id:?})"));
        match words[..] {
            ["session", id] => there(&self.sessions, id),
            ["code", id] => there(&self.codes, id),
            ["grant", id, generation] => {
                self.generations.get(id).is_some_and(|now| *now >= generation.parse::<i64>().unwrap())
            }
            _ => panic!("the node said `{line}`"),
        }
    }
}

fn grant(row: &str) -> (String, i64) {
    let (id, generation) = row.split_once(" | ").unwrap();
    let inside =
        |text: &str| text.trim_start_matches("Some(").trim_end_matches(')').trim_matches('"').to_owned();
    (inside(id), inside(generation).parse().unwrap())
}

/// Each action wrote two or three rows in one write, so there must be equally many of each. One query, because
/// PostgreSQL may still be finishing what the dead node had sent.
async fn assert_nothing_by_half(database: &TestDatabase, user: UserId) {
    let audited = |event: AuditEvent| {
        let event = event.as_str();
        format!("(SELECT COUNT(*) FROM audit WHERE actor = 'user:{user}' AND event = '{event}')")
    };
    let (signed_in, redeemed) = (audited(AuditEvent::SignedIn), audited(AuditEvent::ConsentGiven));
    let differences = database
        .number(&format!(
            "SELECT ABS((SELECT COUNT(*) FROM sessions WHERE user_id = '{user}') - 1 - {signed_in}) \
             + ABS((SELECT COUNT(*) FROM codes WHERE user_id = '{user}' AND consumed_at IS NOT NULL) - {redeemed}) \
             + ABS((SELECT COUNT(*) FROM grants WHERE user_id = '{user}') - {redeemed})"
        ))
        .await;
    assert_eq!(differences, 0, "something is half done");
}

async fn assert_integrity(database: &TestDatabase) {
    if database.engine == Engine::Sqlite {
        assert_eq!(database.dump("PRAGMA integrity_check").await, [r#"Some("ok")"#]);
        assert!(database.dump("PRAGMA foreign_key_check").await.is_empty());
    }
}

/// An empty, migrated database, whatever was there before.
async fn empty(database: &TestDatabase) {
    let store = database.open().await;
    store.migrate().await.unwrap();
    for table in ["audit", "grants", "codes", "sessions", "clients", "users"] {
        database.execute(&format!("DELETE FROM {table}")).await;
    }
    store.close().await;
}

/// What the node does: four tasks write as fast as they can and print what was acknowledged.
pub(crate) async fn write_until_killed(url: &str) {
    let store = Store::open(url, 4).await.unwrap();
    let number = u64::from_be_bytes(random_bytes());
    let ada = SignedInPerson::named(&store, &format!("u{number}@example.org"), &format!("c{number}")).await;
    println!("user {}", ada.user.id);
    let ada = Arc::new(ada);
    let requests: Vec<_> =
        (0..4).map(|_| tokio::spawn(one_after_the_other(store.clone(), ada.clone()))).collect();
    for request in requests {
        request.await.unwrap();
    }
}

async fn one_after_the_other(store: Store, ada: Arc<SignedInPerson>) {
    loop {
        println!("session {}", sign_in(&store, ada.user.id).await);
        let grant = redeem(&store, &ada).await;
        for generation in 0..2 {
            rotate(&store, grant, generation).await;
            println!("grant {grant} {}", generation + 1);
        }
    }
}

async fn sign_in(store: &Store, user: UserId) -> SessionId {
    let (session, lifetime) = (new_session(user), SessionLifetime::default());
    let record = record(AuditEvent::SignedIn, user);
    assert!(tell!(store, |tx, session, lifetime, record| async move {
        tx.audit(record).await?;
        tx.insert_session(session, lifetime, NOW).await
    }));
    session.id
}

async fn redeem(store: &Store, ada: &SignedInPerson) -> GrantId {
    let digest = ada.a_code(store, OFFLINE).await;
    let (client, record) = (ada.client.id.clone(), record(AuditEvent::ConsentGiven, ada.user.id));
    let id = tell!(store, |tx, digest, client, record| async move {
        let code = tx.consume_code(digest, client, NOW).await?.unwrap();
        let grant = Grant::of_code(&code.code, &Lifetimes::default(), NOW);
        assert!(tx.insert_grant(&grant, &code, NOW).await?);
        tx.audit(record).await?;
        Ok(grant.facts.id)
    });
    println!("code {id}\ngrant {id} 0");
    id
}

async fn rotate(store: &Store, id: GrantId, generation: i64) {
    let until = after(DAY);
    assert!(tell!(store, |tx, id, generation, until| tx.rotate_grant(*id, *generation, *until)));
}

fn record(event: AuditEvent, user: UserId) -> AuditRecord {
    let actor = Actor::User(user);
    let source = AuditSource::default();
    AuditRecord { at: NOW, event, actor, subject: None, client_id: None, source, detail: "" }
}
