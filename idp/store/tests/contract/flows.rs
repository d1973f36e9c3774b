//! Flows through the hosted pages.

use idp_core::flow::FlowTarget;
use idp_core::ids::FlowId;
use idp_core::oauth::authorize::{self, AuthorizationRequest};
use idp_core::oauth::keys::{Hint, HintVerifier};
use idp_core::oauth::params::Params;
use idp_core::time::{HOUR, SECOND, Timestamp};
use idp_store::{EndedFlow, Flow};

use crate::given::{NOW, after, new_client, new_digest};
use crate::harness::Db;

contract! {
    a_flow_to_the_account_pages_reads_back,
    a_flow_for_a_client_keeps_the_whole_request,
    a_flow_expires,
    a_flow_is_closed_once,
    an_ended_flow_tells_how_it_ended,
    fault_01_a_closed_flow_keeps_the_answer_that_closed_it,
}

async fn a_flow_to_the_account_pages_reads_back(db: Db) {
    let written = a_flow(&db, FlowTarget::Account).await;
    let read = open(&db, written.id, NOW).await.unwrap();
    assert_eq!((read.id, read.target, read.started_at), (written.id, FlowTarget::Account, NOW));
    assert_eq!(read.browser.as_str(), written.browser.as_str());
}

async fn a_flow_for_a_client_keeps_the_whole_request(db: Db) {
    let target = FlowTarget::Client(Box::new(request()));
    let id = a_flow(&db, target.clone()).await.id;
    assert_eq!(open(&db, id, NOW).await.unwrap().target, target);
}

async fn a_flow_expires(db: Db) {
    let id = a_flow(&db, FlowTarget::Account).await.id;
    assert!(open(&db, id, after(HOUR - SECOND)).await.is_some());
    assert!(open(&db, id, after(HOUR)).await.is_none());
    assert!(open(&db, FlowId::new(NOW), NOW).await.is_none(), "one that never began");
}

async fn a_flow_is_closed_once(db: Db) {
    let (id, other) = (a_flow(&db, FlowTarget::Account).await.id, a_flow(&db, FlowTarget::Account).await.id);
    let nobody = FlowId::new(NOW);
    assert!(tell!(db, |tx, id| tx.close_flow(*id, None, NOW)));
    assert!(!tell!(db, |tx, id| tx.close_flow(*id, None, NOW)));
    assert!(!tell!(db, |tx, nobody| tx.close_flow(*nobody, None, NOW)));
    assert!(open(&db, id, NOW).await.is_none());
    assert!(open(&db, other, NOW).await.is_some());
}

async fn an_ended_flow_tells_how_it_ended(db: Db) {
    let target = FlowTarget::Client(Box::new(request()));
    let id = a_flow(&db, target.clone()).await.id;
    assert!(ended(&db, id, after(HOUR - SECOND)).await.is_none(), "it is open");
    let expired = ended(&db, id, after(HOUR)).await.unwrap();
    assert_eq!((expired.answered, expired.flow.target), (false, target));
    assert!(tell!(db, |tx, id| tx.close_flow(*id, None, NOW)));
    for now in [NOW, after(HOUR)] {
        assert!(ended(&db, id, now).await.unwrap().answered);
    }
    assert!(ended(&db, FlowId::new(NOW), NOW).await.is_none(), "one that never began");
}

async fn fault_01_a_closed_flow_keeps_the_answer_that_closed_it(db: Db) {
    let id = a_flow(&db, FlowTarget::Client(Box::new(request()))).await.id;
    assert!(tell!(db, |tx, id| tx.close_flow(*id, Some("kek.nonce.text"), NOW)));
    assert!(!tell!(db, |tx, id| tx.close_flow(*id, Some("another"), NOW)));
    assert_eq!(ended(&db, id, NOW).await.unwrap().sealed_response.as_deref(), Some("kek.nonce.text"));
    // As an older node closes it.
    let old = a_flow(&db, FlowTarget::Account).await.id;
    db.database.execute(&format!("UPDATE flows SET closed_at = 1 WHERE id = '{old}'")).await;
    let old = ended(&db, old, NOW).await.unwrap();
    assert_eq!((old.answered, old.sealed_response), (true, None));
}

async fn ended(db: &Db, id: FlowId, now: Timestamp) -> Option<EndedFlow> {
    ask!(db, |r, id, now| r.ended_flow(*id, *now))
}

async fn a_flow(db: &Db, target: FlowTarget) -> Flow {
    let flow = Flow { id: FlowId::new(NOW), browser: new_digest(), target, started_at: NOW };
    let until = after(HOUR);
    tell!(db, |tx, flow, until| tx.insert_flow(flow, *until));
    flow
}

async fn open(db: &Db, id: FlowId, now: Timestamp) -> Option<Flow> {
    ask!(db, |r, id, now| r.flow(*id, *now))
}

/// A request with every field set, some to what a hostile client would send.
fn request() -> AuthorizationRequest {
    struct AnyHint;
    impl HintVerifier for AnyHint {
        fn verify(&self, _token: &str) -> Option<Hint> {
            Some(Hint { subject: "somebody".to_owned(), session: None, audience: "app".to_owned() })
        }
    }
    let params = [
        ("client_id", "app"),
        ("redirect_uri", "https://app.example/cb"),
        ("response_type", "code"),
        ("scope", "openid profile"),
        ("state", "' OR 1=1--\u{0}\u{2028}😀"),
        ("nonce", "\"}{\\"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
        ("prompt", "login consent"),
        ("max_age", "300"),
        ("login_hint", "ada@example.org"),
        ("id_token_hint", "…"),
    ];
    let params = Params::new(params.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
    authorize::check(&params, Some(&new_client("app")), &AnyHint).unwrap()
}
