//! The same races between two processes on one PostgreSQL, like two nodes.

use idp_core::client::ClientId;
use idp_core::single_use::{AuthorizationCode, SingleUse, SingleUseDigest};
use idp_store::Store;

use super::{CALLERS, LineUp, RaceOutcome, code, line_up, link, refresh, rounds, winners};
use crate::given::{OFFLINE, SignedInPerson, insert_code};
use crate::harness::Db;
use crate::harness::processes::{Part, Process};

contract! { postgres:
    tk_02_one_of_25_redemptions_of_a_code_on_each_of_two_nodes_gets_the_grant,
    r_04_one_of_25_uses_of_an_activation_link_on_each_of_two_nodes_makes_the_account,
    tk_17_one_of_25_uses_of_a_refresh_token_on_each_of_two_nodes_gets_its_successor,
}

/// Callers per process.
const EACH: usize = CALLERS / 2;

async fn tk_02_one_of_25_redemptions_of_a_code_on_each_of_two_nodes_gets_the_grant(db: Db) {
    let (mut nodes, ada) = (Nodes::new(&db), SignedInPerson::new(&db).await);
    for round in 0..rounds() {
        let (secret, code) = (SingleUse::<AuthorizationCode>::generate(), ada.new_code(OFFLINE));
        assert!(insert_code(&db, &secret.digest(), &code).await);
        assert_eq!(nodes.race(&format!("code {} {}", secret.expose(), ada.client.id)), 1, "round {round}");
        let id = code.facts.id;
        assert!(!ask!(db, |r, id| r.grant(*id)).unwrap().live, "the others replayed it");
    }
    assert_eq!(db.database.rows("grants").await, rounds() as i64);
    report("tk_02 redemption of a code");
}

async fn r_04_one_of_25_uses_of_an_activation_link_on_each_of_two_nodes_makes_the_account(db: Db) {
    let mut nodes = Nodes::new(&db);
    for round in 0..rounds() {
        let link = link::a_link(&db, round).await;
        assert_eq!(nodes.race(&format!("link {}", link.expose())), 1, "round {round}");
    }
    assert_eq!(db.database.rows("users").await, rounds() as i64);
    report("r_04 use of an activation link");
}

async fn tk_17_one_of_25_uses_of_a_refresh_token_on_each_of_two_nodes_gets_its_successor(db: Db) {
    let (mut nodes, ada) = (Nodes::new(&db), SignedInPerson::new(&db).await);
    for round in 0..rounds() {
        let id = ada.a_grant(&db, OFFLINE).await.facts.id;
        assert_eq!(nodes.race(&format!("refresh {id} {}", ada.client.id)), 1, "round {round}");
        let stored = ask!(db, |r, id| r.grant(*id)).unwrap();
        assert_eq!((stored.grant.generation, stored.live), (1, false));
    }
    report("tk_17 use of a refresh token");
}

fn report(what: &str) {
    let rounds = rounds();
    println!(
        "proof: {what}, {EACH} in each of two processes on Postgres: {rounds} rounds, one success in each"
    );
}

/// Two processes that race on demand.
struct Nodes([Process; 2]);

impl Nodes {
    fn new(db: &Db) -> Self {
        Self([(); 2].map(|()| Process::spawn(Part::Race, &db.database.url)))
    }

    /// One round: both line up, both start, and the winners are key.
    fn race(&mut self, order: &str) -> usize {
        self.0.iter_mut().for_each(|node| node.order(order));
        self.0.iter_mut().for_each(|node| drop(node.hear("lined up")));
        self.0.iter_mut().for_each(|node| node.order("go"));
        self.0.iter_mut().map(|node| node.hear("won").parse::<usize>().unwrap()).sum()
    }
}

/// What each of the two processes does: it lines up for the race that one line names, and starts at the next line.
pub(crate) async fn race(url: &str) {
    let store = Store::open(url, EACH as u32).await.unwrap();
    let mut orders = std::io::stdin().lines().map(Result::unwrap);
    while let Some(order) = orders.next() {
        let callers = line_up_for(&store, &order);
        println!("lined up");
        assert_eq!(orders.next().as_deref(), Some("go"));
        println!("won {}", winners(&callers.go().await));
    }
}

fn line_up_for(store: &Store, order: &str) -> LineUp<RaceOutcome> {
    let words: Vec<&str> = order.split(' ').collect();
    match words[..] {
        ["code", text, client] => {
            let (code, client) = (SingleUseDigest::of_presented(text).unwrap(), client_id(client));
            line_up(EACH, |_| code::redeem(store.clone(), code.clone(), client.clone()))
        }
        ["link", text] => {
            let link = SingleUseDigest::of_presented(text).unwrap();
            line_up(EACH, |_| link::follow(store.clone(), link.clone()))
        }
        ["refresh", id, client] => {
            let (id, client) = (id.parse().unwrap(), client_id(client));
            line_up(EACH, |_| refresh::refresh(store.clone(), id, client.clone()))
        }
        _ => panic!("no such race: {order}"),
    }
}

fn client_id(text: &str) -> ClientId {
    ClientId::parse(text).unwrap()
}
