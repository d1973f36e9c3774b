use super::*;

#[test]
fn fault_05_every_code_of_postgresql_has_its_class() {
    for (codes, class) in [
        (
            "08000 08003 08006 08P01 25006 25P03 25P04 26000 42P05 57P01 57P02 57P03 57P04 57P05",
            ErrorClass::Disconnected,
        ),
        ("40001 40P01 40000 72000", ErrorClass::Retry),
        (
            "40003 53000 53100 53200 53300 53400 55P03 55006 57014 58000 58030 58P01 28P01 3D000 3F000 42501 XX000",
            ErrorClass::Later,
        ),
        (
            "42601 42P01 42703 22021 22P02 22003 23505 23503 23502 23514 0A000 25P02 54000 P0001",
            ErrorClass::Defect,
        ),
        ("00000 99999 4 é", ErrorClass::Defect),
    ] {
        for code in codes.split(' ') {
            assert_eq!(postgres_class(code, None), class, "{code}");
        }
    }
    assert_eq!(postgres_class("0A000", Some("RevalidateCachedQuery")), ErrorClass::Disconnected);
    assert_eq!(postgres_class("0A000", Some("transformOnConflictArbiter")), ErrorClass::Defect);
}

#[test]
fn fault_05_every_code_of_sqlite_has_its_class() {
    for (codes, class) in [
        // READONLY_DBMOVED, CORRUPT and CORRUPT_INDEX, NOTADB
        (&[1032, 11, 779, 26][..], ErrorClass::Disconnected),
        // BUSY, BUSY_RECOVERY, BUSY_SNAPSHOT, BUSY_TIMEOUT, LOCKED, LOCKED_SHAREDCACHE, PROTOCOL, SCHEMA
        (&[5, 261, 517, 773, 6, 262, 15, 17], ErrorClass::Retry),
        // PERM, ABORT, NOMEM, READONLY and some of its kinds, INTERRUPT, IOERR and some of its kinds, FULL, CANTOPEN
        (
            &[3, 4, 7, 8, 264, 520, 776, 1288, 1544, 9, 10, 266, 522, 778, 3082, 13, 14, 270, 23],
            ErrorClass::Later,
        ),
        // ERROR, INTERNAL, TOOBIG, CONSTRAINT and its kinds, MISMATCH, MISUSE, RANGE
        (&[1, 2, 18, 19, 275, 787, 1299, 1555, 1811, 2067, 20, 21, 25], ErrorClass::Defect),
        (&[0, -1, i32::MAX, i32::MIN], ErrorClass::Defect),
    ] {
        for code in codes {
            assert_eq!(sqlite_class(*code), class, "{code}");
        }
    }
}

#[test]
fn errors_without_a_code_are_classified_too() {
    use std::io::ErrorKind;
    for (error, expected) in [
        (sqlx::Error::Io(ErrorKind::BrokenPipe.into()), ErrorClass::Disconnected),
        (sqlx::Error::Protocol("out of step".to_owned()), ErrorClass::Disconnected),
        (sqlx::Error::WorkerCrashed, ErrorClass::Disconnected),
        (sqlx::Error::PoolTimedOut, ErrorClass::Later),
        (sqlx::Error::RowNotFound, ErrorClass::Defect),
        (sqlx::Error::ColumnNotFound("name".to_owned()), ErrorClass::Defect),
        (sqlx::Error::Decode("not a number".into()), ErrorClass::Defect),
    ] {
        assert_eq!(classify(&error), expected, "{error}");
    }
}

#[test]
fn quotes_in_an_error_are_short_and_on_one_line() {
    let error = StoreError::from(sqlx::Error::Protocol(format!("a\nb \"c\" {}", "x".repeat(10_000))));
    let text = error.to_string();
    assert!(text.len() < 300 && text.contains("a b 'c' x"), "{text}");
}
