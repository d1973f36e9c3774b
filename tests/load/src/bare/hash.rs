//! The password hash alone, on one core.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use argon2::{Algorithm, Argon2, Block, Params, Version};

/// The server's parameters: 19 MiB, two passes, one lane (OWASP's minimum).
const COST: (u32, u32, u32) = (19_456, 2, 1);

/// Hashes per second.
pub(super) fn rate(time: Duration) -> anyhow::Result<f64> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).map_err(|error| anyhow!("argon2: {error}"))?;
    let mut blocks = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < time {
        let salt = u128::from(count).to_be_bytes();
        let hashed =
            argon2.hash_password_into_with_memory(b"tinker brass umbrella", &salt, &mut out, &mut blocks);
        hashed.map_err(|error| anyhow!("argon2: {error}"))?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}
