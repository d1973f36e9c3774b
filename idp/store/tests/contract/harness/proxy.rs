//! A network between a store and PostgreSQL that can fall silent.

use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::TestDatabase;

/// Forwards every byte until it is told to be silent. It never closes anything, just like a broken network.
pub(crate) struct Proxy {
    url: String,
    /// Connections up to this number are silent.
    silent: Arc<watch::Sender<usize>>,
    made: watch::Receiver<usize>,
}

impl Proxy {
    pub(crate) async fn start(database: &TestDatabase) -> Self {
        let (before, name) = database.url.rsplit_once('/').unwrap();
        let (before, server) = before.rsplit_once('@').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{before}@{}/{name}?sslmode=disable", listener.local_addr().unwrap());
        let (silent, silence) = watch::channel(0);
        let (count, made) = watch::channel(0);
        tokio::spawn(serve(listener, server.to_owned(), silence, count));
        Self { url, silent: Arc::new(silent), made }
    }

    /// The database's URL through this proxy.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// From now on nothing gets through the existing connections. New ones work, unless `new_ones_too`.
    pub(crate) fn fall_silent(&self, new_ones_too: bool) {
        let until = if new_ones_too { usize::MAX } else { *self.made.borrow() };
        self.silent.send_replace(until);
    }

    /// How many connections have been made.
    pub(crate) fn connections(&self) -> usize {
        *self.made.borrow()
    }
}

async fn serve(
    listener: TcpListener,
    server: String,
    silence: watch::Receiver<usize>,
    count: watch::Sender<usize>,
) {
    let mut held = Vec::new();
    while let Ok((client, _)) = listener.accept().await {
        count.send_modify(|made| *made += 1);
        let (number, server, mut silence) = (*count.borrow(), server.clone(), silence.clone());
        held.push(tokio::spawn(async move {
            let (mut client, mut upstream) = (client, TcpStream::connect(&server).await.unwrap());
            let silenced = async { drop(silence.wait_for(|until| number <= *until).await) };
            tokio::select! {
                biased;
                () = silenced => {}
                _ = copy_bidirectional(&mut client, &mut upstream) => return,
            }
            // Both ends stay open.
            std::future::pending::<()>().await;
        }));
    }
}
