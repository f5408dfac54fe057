//! From an address to a byte stream: name look-up, TCP with its options, TLS, Unix sockets.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::rustls::pki_types::ServerName;

use super::address::{Address, Target};
use super::trouble::Trouble;
use crate::wire::Transport;

/// How long one address of a name has until the next is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);
/// A connection without traffic is probed after this time, and given up after three probes without an answer.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// What was sent and is not acknowledged by the other kernel for so long ends the connection.
const USER_TIMEOUT: Duration = Duration::from_secs(3);

/// Connects; the caller sets the time for it. What comes back never blocks.
pub(super) async fn connect(address: &Address) -> Result<Transport, Trouble> {
    match &address.target {
        Target::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(|error| failed(&error))?;
            Ok(Transport::unix(stream.into_std().map_err(|error| failed(&error))?))
        }
        Target::Tcp(host, port) => {
            let stream = tcp(host, *port).await?;
            let Some(tls) = &address.tls else {
                return Ok(Transport::tcp(stream.into_std().map_err(|error| failed(&error))?, None));
            };
            let connector = tls.ready().await?;
            let name = ServerName::try_from(host.clone())
                .map_err(|_| Trouble::lost("the host name cannot stand in a certificate"))?;
            let stream = connector.connect(name, stream).await.map_err(|error| handshake_failed(&error))?;
            let (stream, tls) = stream.into_inner();
            Ok(Transport::tcp(stream.into_std().map_err(|error| failed(&error))?, Some(tls)))
        }
    }
}

/// Connects to the first address of `host` that answers. The look-up runs on a thread for such things.
async fn tcp(host: &str, port: u16) -> Result<TcpStream, Trouble> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port))
        .await
        .map_err(|_| Trouble::lost("the host name cannot be resolved"))?
        .collect();
    let mut attempts = JoinSet::new();
    let mut why = Trouble::lost("the host name has no address");
    let mut addresses = addresses.into_iter();
    loop {
        let next = addresses.next();
        let last = next.is_none();
        if let Some(address) = next {
            attempts.spawn(TcpStream::connect(address));
        }
        // With nothing left to begin, the attempts have all the time that the caller gives.
        let attempt = if last {
            attempts.join_next().await
        } else {
            match tokio::time::timeout(HEAD_START, attempts.join_next()).await {
                Ok(attempt) => attempt,
                Err(_) => continue,
            }
        };
        match attempt {
            Some(Ok(Ok(stream))) => {
                configure(&stream).map_err(|error| failed(&error))?;
                return Ok(stream);
            }
            Some(Ok(Err(error))) => why = failed(&error),
            Some(Err(_)) => {}
            None => return Err(why),
        }
    }
}

fn configure(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

fn failed(error: &std::io::Error) -> Trouble {
    // The kind alone: what else an error says may be a path or a name.
    Trouble::lost(&error.kind().to_string())
}

fn handshake_failed(error: &std::io::Error) -> Trouble {
    use tokio_rustls::rustls::{CertificateError, Error};
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            Trouble::lost("the server's certificate is of an authority that is not trusted (tls_ca)")
        }
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => Trouble::lost("the server's certificate is for another host name"),
        Some(Error::InvalidCertificate(_)) => Trouble::lost("the server's certificate is not valid"),
        Some(_) => Trouble::lost("the TLS handshake failed"),
        None => failed(error),
    }
}
