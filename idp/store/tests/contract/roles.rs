//! Roles and groups.

use idp_core::ids::UserId;
use idp_core::time::SECOND;
use idp_core::user::User;

use crate::given::{NOW, a_user, after, new_user};
use crate::harness::Db;

contract! {
    the_built_in_roles_are_admin_and_user,
    a_role_is_granted_and_revoked_once_each,
    an_unknown_role_or_user_gets_nothing,
    a_user_has_the_roles_of_their_groups,
    a_list_of_accounts_includes_the_roles_of_each,
    the_oldest_account_with_a_role_is_found_by_its_group_as_well,
}

async fn the_built_in_roles_are_admin_and_user(db: Db) {
    assert_eq!(ask!(db, |r| r.roles()), ["admin", "user"]);
}

async fn a_role_is_granted_and_revoked_once_each(db: Db) {
    let ada = a_user(&db, "ada@example.org").await.id;
    let bob = a_user(&db, "bob@example.org").await.id;
    assert_eq!(roles_of(&db, ada).await, [""; 0]);
    assert!(
        grant(&db, ada, "user").await && grant(&db, ada, "admin").await && grant(&db, bob, "admin").await
    );
    assert!(!grant(&db, ada, "admin").await, "she has it");
    assert_eq!(roles_of(&db, ada).await, ["admin", "user"]);
    assert!(revoke(&db, ada, "admin").await);
    assert!(!revoke(&db, ada, "admin").await);
    assert_eq!(roles_of(&db, ada).await, ["user"]);
    assert_eq!(roles_of(&db, bob).await, ["admin"], "nobody else is touched");
}

async fn an_unknown_role_or_user_gets_nothing(db: Db) {
    let (ada, nobody) = (a_user(&db, "ada@example.org").await.id, UserId::new(NOW));
    let before = db.database.everything().await;
    for role in ["", "Admin", "admin ", "adm%", "_ser"] {
        assert!(!grant(&db, ada, role).await && !revoke(&db, ada, role).await, "{role}");
    }
    assert!(try_tell!(db, |tx, nobody| tx.grant_role(*nobody, "user")).is_err());
    assert!(!revoke(&db, nobody, "user").await);
    assert!(roles_of(&db, nobody).await.is_empty());
    assert_eq!(db.database.everything().await, before);
}

async fn a_user_has_the_roles_of_their_groups(db: Db) {
    let [ada, bob] = in_groups(&db).await;
    assert_eq!(roles_of(&db, ada).await, ["auditor", "user"], "each role once, wherever it comes from");
    assert_eq!(roles_of(&db, bob).await, ["printer"]);
    assert!(!revoke(&db, ada, "auditor").await, "it is the group's, not hers");
}

async fn a_list_of_accounts_includes_the_roles_of_each(db: Db) {
    let [ada, bob] = in_groups(&db).await;
    let cleo = made(&db, "cleo@example.org", 3).await;
    for (after, limit) in [(None, 10), (None, 2), (Some(ada), 2), (Some(bob), 1)] {
        let listed = ask!(db, |r, after, limit| r.users(*after, *limit)).found;
        let expected: Vec<_> = [ada, bob, cleo]
            .into_iter()
            .filter(|id| after.is_none_or(|after| *id > after))
            .take(usize::try_from(limit).unwrap())
            .collect();
        assert_eq!(listed.iter().map(|(user, _)| user.id).collect::<Vec<_>>(), expected);
        for (user, roles) in listed {
            assert_eq!(roles, roles_of(&db, user.id).await, "{}", user.email);
        }
    }
}

async fn the_oldest_account_with_a_role_is_found_by_its_group_as_well(db: Db) {
    let [ada, bob] = in_groups(&db).await;
    assert!(grant(&db, bob, "user").await && grant(&db, bob, "admin").await);
    for (role, expected) in [
        ("auditor", Some(ada)),
        ("user", Some(ada)),
        ("admin", Some(bob)),
        ("printer", Some(bob)),
        ("nothing", None),
    ] {
        let role = role.to_owned();
        let found = ask!(db, |r, role| r.first_user_with_role(role));
        assert_eq!(found.map(|user| user.id), expected, "{role}");
    }
}

/// Two accounts with roles of their own and of their groups.
async fn in_groups(db: &Db) -> [UserId; 2] {
    let (ada, bob) = (made(db, "ada@example.org", 1).await, made(db, "bob@example.org", 2).await);
    for sql in [
        "INSERT INTO roles VALUES ('r1', 'auditor', '', FALSE), ('r2', 'printer', '', FALSE)",
        "INSERT INTO groups VALUES ('g1', 'office', ''), ('g2', 'cellar', '')",
        "INSERT INTO group_roles VALUES ('g1', 'r1'), ('g2', 'r2')",
        "INSERT INTO group_roles SELECT 'g1', id FROM roles WHERE name = 'user'",
        &format!("INSERT INTO user_groups VALUES ('{ada}', 'g1'), ('{bob}', 'g2')"),
    ] {
        db.database.execute(sql).await;
    }
    grant(db, ada, "user").await;
    [ada, bob]
}

/// An account made in this second.
async fn made(db: &Db, email: &str, second: u32) -> UserId {
    let user = User { id: UserId::new(after(SECOND * second)), ..new_user(email) };
    assert!(tell!(db, |tx, user| tx.insert_user(user, None)));
    user.id
}

async fn roles_of(db: &Db, user: UserId) -> Vec<String> {
    ask!(db, |r, user| r.roles_of(*user))
}

async fn grant(db: &Db, user: UserId, role: &str) -> bool {
    let role = role.to_owned();
    tell!(db, |tx, user, role| tx.grant_role(*user, role))
}

async fn revoke(db: &Db, user: UserId, role: &str) -> bool {
    let role = role.to_owned();
    tell!(db, |tx, user, role| tx.revoke_role(*user, role))
}
