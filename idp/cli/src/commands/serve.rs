//! `idp serve`: the server in production.

use idp_server::App;
use idp_server::clock::Clock;
use tokio::net::TcpListener;

use crate::failure::Failure;
use crate::options::SettingsSource;
use crate::{database, in_use, logging, operator, output, signals};

/// Runs the server until it is told to stop.
///
/// # Errors
/// [`Failure`]: why it cannot start.
pub(crate) async fn run(source: &SettingsSource) -> Result<(), Failure> {
    let (settings, file) = operator::load(source)?;
    logging::start(settings.log());
    if let Some(file) = file {
        tracing::info!("{}", operator::settings_are_from(file));
    }
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    database::check_folder(&settings, false)?;
    database::exists(&settings)?;
    let (named, data_dir) = (database::NamedBy::of(&settings)?, settings.data_dir());
    let folder = database::folder(&settings)?;
    let folder_setting = settings.database_folder_setting();
    let (config, _) = settings.into_config()?;
    // Check everything before creating anything.
    App::check_keys_folder(&config)?;
    database::make_folder(data_dir.as_deref())?;
    let _in_use = match folder.as_deref().map(in_use::shared) {
        Some(Err(_)) => {
            let shown = data_dir.or(folder).unwrap_or_default();
            return Err(Failure::new(format_args!(
                "`idp dev` is running on the folder {}; stop it, or use another folder ({folder_setting})",
                shown.display()
            )));
        }
        taken => taken,
    };
    let stop = signals::stop()?;
    let mut listeners = Vec::new();
    for address in &config.listen {
        let listener = TcpListener::bind(address).await;
        let why = |error| format!("cannot listen on {address}: {error}; change server.listen");
        listeners.push(listener.map_err(why)?);
    }
    let ready = format!("idp is ready: {}, listening on {}", config.issuer, addresses(&listeners));
    let app = App::build(config, Clock::system());
    let app = app.await.map_err(|error| named.not_started(error))?;
    output::line(ready);
    Ok(app.serve(listeners, stop).await?)
}

fn addresses(listeners: &[TcpListener]) -> String {
    let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok());
    addresses.map(|address| address.to_string()).collect::<Vec<_>>().join(", ")
}
