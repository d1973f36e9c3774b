use super::*;
use crate::db::Reader;

/// Each statement finds its rows by an index, whatever the size of the table.
#[tokio::test]
async fn no_pass_walks_a_table() {
    let folder = std::env::temp_dir().join(format!("idp-cleanup-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let store = Store::open(&format!("sqlite:{}", folder.join("idp.db").display()), 1).await.unwrap();
    store.migrate().await.unwrap();
    for expiry in &EXPIRIES {
        let plan = store.read(expiry.sql, |reader, sql| Box::pin(plan(reader, sql))).await.unwrap();
        assert!(plan.iter().any(|step| step.contains("SEARCH")), "{}: {plan:?}", expiry.sql);
        assert!(!plan.iter().any(|step| step.contains("SCAN")), "{}: {plan:?}", expiry.sql);
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{}: {plan:?}", expiry.sql);
    }
    store.close().await;
    std::fs::remove_dir_all(&folder).unwrap();
}

async fn plan(reader: &mut Reader, sql: &str) -> Result<Vec<String>, StoreError> {
    let sql = format!("EXPLAIN QUERY PLAN {sql}");
    let sql = || sqlx::AssertSqlSafe(sql.clone());
    let steps: Vec<(i64, i64, i64, String)> =
        on!(reader, c => sqlx::query_as(sql()).bind(0_i64).bind(BATCH).fetch_all(c).await)?;
    Ok(steps.into_iter().map(|(_, _, _, step)| step).collect())
}
