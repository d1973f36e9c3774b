//! Runs the example client by itself, configured by `EXAMPLE_…` variables (see the README).

use std::{env, process::ExitCode};

use anyhow::{Context, Result};

#[tokio::main]
#[allow(clippy::print_stderr)] // A command-line program prints its errors.
async fn main() -> ExitCode {
    let Err(error) = run().await else {
        return ExitCode::SUCCESS;
    };
    eprintln!("client-example: {error:#}");
    ExitCode::FAILURE
}

#[allow(clippy::print_stdout)]
async fn run() -> Result<()> {
    let var_or = |name, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let base_url = var_or("EXAMPLE_BASE_URL", "http://localhost:8081");
    let app = client_example::app(client_example::Config {
        issuer: env::var("EXAMPLE_ISSUER").context("set EXAMPLE_ISSUER to the issuer's URL")?,
        client_id: env::var("EXAMPLE_CLIENT_ID")
            .context("set EXAMPLE_CLIENT_ID to the registered client id")?,
        client_secret: env::var("EXAMPLE_CLIENT_SECRET").ok().filter(|it| !it.is_empty()),
        base_url: base_url.clone(),
    })?;
    let listen = var_or("EXAMPLE_LISTEN", "127.0.0.1:8081");
    let listener = tokio::net::TcpListener::bind(&listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {listen}"))?;
    println!("Example client: open {base_url}");
    Ok(axum::serve(listener, app).await?)
}
