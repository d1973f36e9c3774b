//! `idp key`: signing keys.

use clap::Subcommand;
use idp_store::KeyListing;
use serde_json::json;

use crate::failure::Failure;
use crate::options::CommonOptions;
use crate::{operator, output};

/// List the signing keys
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  idp key list")]
pub(crate) struct KeyArgs {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// List all keys, without their private parts
    #[command(after_help = "Example:\n  idp key list --config idp.toml -o json")]
    List,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn run(args: KeyArgs) -> Result<(), Failure> {
    let KeyCommand::List = args.command;
    let operator = operator::open(&args.common).await?;
    let keys = operator.store.read((), |reader, ()| Box::pin(reader.listed_keys())).await?;
    operator.store.close().await;
    let rows: Vec<_> = keys.iter().map(columns).collect();
    let shown: Vec<_> = rows
        .iter()
        .map(|[id, purpose, state, created_at]| {
            json!({ "id": id, "purpose": purpose, "state": state, "created_at": created_at })
        })
        .collect();
    let text = match rows.as_slice() {
        [] => "There are no keys yet; the server creates them when it starts.".to_owned(),
        rows => output::table(["id", "purpose", "state", "created_at"], rows),
    };
    output::answer(operator.format(), json!(shown), text);
    Ok(())
}

fn columns(key: &KeyListing) -> [String; 4] {
    [key.id.clone(), key.purpose.clone(), key.state.clone(), output::moment(key.created_at())]
}
