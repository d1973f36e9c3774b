use super::*;
use crate::engine::scratch_for_tests::Scratch;
use crate::engine::store::Store;

/// SQLite runs a claim in its only writer, so its cost must not grow with the outbox.
#[tokio::test]
async fn fault_20_a_claim_of_sqlite_reads_no_more_than_it_needs() {
    let scratch = Scratch::new("claim");
    let store = scratch.store().await;
    store.migrate().await.unwrap();
    let plan = store.write((), |tx, ()| Box::pin(tx.plan("EXPLAIN QUERY PLAN "))).await.unwrap();
    store.close().await;
    assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{plan}");
    assert!(plan.contains("outbox_by_due (due_at<?)"), "{plan}");
    assert!(plan.contains("outbox_by_recipient (<expr>=? AND created_at>? AND created_at<?)"), "{plan}");
}

#[tokio::test]
async fn fault_20_a_claim_of_postgres_reads_no_more_than_it_needs() {
    let url =
        std::env::var("IDP_TEST_POSTGRES_URL").expect("run `cargo xtask test`, which starts a PostgreSQL");
    let store = Store::open(&url, 1).await.unwrap();
    let plan = store
        .write((), |tx, ()| {
            Box::pin(async move {
                tx.make_temporary_outbox().await?;
                tx.plan("EXPLAIN ").await
            })
        })
        .await
        .unwrap();
    store.close().await;
    assert!(!plan.contains("Seq Scan") && !plan.contains("Sort"), "{plan}");
    assert!(plan.contains("Index Scan using outbox_by_due"), "{plan}");
    assert!(plan.contains("Index Scan using outbox_by_recipient"), "{plan}");
}

impl Tx {
    /// Tables that last as long as the connection, with many mails: of few rows PostgreSQL reads all.
    async fn make_temporary_outbox(&mut self) -> Result<(), StoreError> {
        const SQL: [&str; 4] = [
            "SET LOCAL search_path = pg_temp",
            include_str!("../../../migrations/0003_operations.sql"),
            include_str!("../../../migrations/0007_outbox_by_recipient.sql"),
            "INSERT INTO outbox SELECT CAST(n AS TEXT), 'welcome', n || '@example.org', 'Ada', '', NULL, n, n, 0, n \
                FROM generate_series(1, 20000) AS n",
        ];
        for sql in SQL {
            on!(self, c => sqlx::raw_sql(sql).execute(c).await.map(drop))?;
        }
        Ok(())
    }

    async fn plan(&mut self, explain: &str) -> Result<String, StoreError> {
        let sql = format!("{explain}{CLAIM}");
        let sql = || sqlx::AssertSqlSafe(sql.clone());
        on!(self, c => {
            let rows = sqlx::query(sql()).bind(1_000_000_i64).bind(2_000_000_i64).bind(IN_LINE_TRIES).bind(-1_i64)
                .bind(i64::MAX).bind("@one").bind("@two").bind("@three").bind("@four").fetch_all(c).await?;
            let last = |row: &_| Row::get::<String, _>(row, Row::len(row) - 1);
            Ok(rows.iter().map(last).collect::<Vec<_>>().join("\n"))
        })
    }
}
