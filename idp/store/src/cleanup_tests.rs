use super::*;
use crate::engine::connection::Reader;
use crate::engine::scratch_for_tests::Scratch;

/// Each statement finds its rows by an index, however large the table is.
#[tokio::test]
async fn no_pass_scans_a_table() {
    let scratch = Scratch::new("cleanup");
    let store = scratch.store().await;
    store.migrate().await.unwrap();
    for expiry in &EXPIRIES {
        let plan = store.read(expiry.sql, |reader, sql| Box::pin(plan(reader, sql))).await.unwrap();
        assert!(plan.iter().any(|step| step.contains("SEARCH")), "{}: {plan:?}", expiry.sql);
        assert!(!plan.iter().any(|step| step.contains("SCAN")), "{}: {plan:?}", expiry.sql);
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{}: {plan:?}", expiry.sql);
    }
    store.close().await;
}

async fn plan(reader: &mut Reader, sql: &str) -> Result<Vec<String>, StoreError> {
    let sql = format!("EXPLAIN QUERY PLAN {sql}");
    let sql = || sqlx::AssertSqlSafe(sql.clone());
    let steps: Vec<(i64, i64, i64, String)> =
        on!(reader, c => sqlx::query_as(sql()).bind(0_i64).bind(BATCH).fetch_all(c).await)?;
    Ok(steps.into_iter().map(|(_, _, _, step)| step).collect())
}
