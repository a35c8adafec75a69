//! Datagrams to each peer: no broker, for nodes that know one another.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::net::UdpSocket as Socket;
use tokio::time::sleep;

use crate::cluster::bus::error::BusError;
use crate::cluster::bus::peers::{Addresses, Peer};
use crate::cluster::bus::url::EngineUrl;
use crate::cluster::bus::{Bus, LONGEST_MESSAGE, Port};
use crate::cluster::race::race;

const EXPECTED: &str =
    "`udp://IP:port?peers=host:port,dns:name:port`, with an address of this machine";

/// A socket that fails again and again costs no more than this often.
const PAUSE: Duration = Duration::from_millis(10);

/// A mesh over UDP: each message is one datagram to each peer.
///
/// Names of peers are looked up every 30 s, and within a second after an error. The bus is down while
/// a message can be sent to none of the peers. That a peer is gone is no error: its messages just end.
#[derive(Debug)]
pub struct Udp {
    socket: UdpSocket,
    local: SocketAddr,
    peers: Vec<Peer>,
}

impl Udp {
    /// Binds a socket, without peers. With port 0 the system chooses one: [`Self::local_addr`].
    ///
    /// # Errors
    /// If the address can't be bound.
    pub fn bind(address: SocketAddr) -> Result<Self, BusError> {
        let bound = |socket: UdpSocket| {
            socket.set_nonblocking(true)?;
            let local = socket.local_addr()?;
            Ok(Self { socket, local, peers: Vec::new() })
        };
        UdpSocket::bind(address).and_then(bound).map_err(|error| BusError::Bind(address, error))
    }

    /// Binds the address of a URL, `udp://IP:port?peers=host:port,dns:name:port`. Peers are optional:
    /// see [`Self::peers`].
    ///
    /// # Errors
    /// If it is no such URL, or the address can't be bound.
    pub fn from_url(url: &str) -> Result<Self, BusError> {
        let url = EngineUrl::parse(url, &["udp"], EXPECTED)?;
        let wrong = |problem: String| EngineUrl::wrong(problem, EXPECTED);
        if url.user.is_some() || url.password.is_some() {
            return Err(wrong("UDP has no credentials".into()));
        }
        if !url.path.is_empty() {
            return Err(wrong(format!("the URL has the path `{}`", url.path)));
        }
        let address = match url.hosts.as_slice() {
            [host] => host.name.parse::<IpAddr>().ok().zip(host.port),
            _ => None,
        };
        let Some((ip, port)) = address else {
            return Err(wrong("the URL has not one IP address with a port".into()));
        };
        let mut peers = Vec::new();
        for (name, value) in &url.options {
            if name != "peers" {
                return Err(wrong(format!("the URL has the option `{name}`")));
            }
            let list = value.split(',').filter(|peer| !peer.is_empty());
            peers.extend(list.map(str::parse).collect::<Result<Vec<Peer>, _>>()?);
        }
        Ok(Self::bind(SocketAddr::new(ip, port))?.peers(peers))
    }

    /// The address that the socket is bound to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The peers to send to, in place of earlier ones. This node may be among them.
    #[must_use]
    pub fn peers(mut self, peers: impl IntoIterator<Item = Peer>) -> Self {
        self.peers = peers.into_iter().collect();
        self
    }

    async fn carry(self, port: Port) -> Infallible {
        let socket = match Socket::from_std(self.socket) {
            Ok(socket) => socket,
            Err(error) => {
                port.down(format_args!("UDP: {}: {error}", self.local));
                return pending().await;
            }
        };
        let addresses = Addresses::of(self.peers, self.local);
        port.up();
        // Sending comes first: a flood of datagrams must not use up the task's budget before it.
        race(send(&socket, &addresses, &port), receive(&socket, &port)).await
    }
}

impl Bus for Udp {
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    fn run(self, port: Port) -> impl Future<Output = Infallible> + Send {
        self.carry(port)
    }
}

async fn send(socket: &Socket, addresses: &Addresses, port: &Port) -> Infallible {
    let mut is_up = true;
    loop {
        let message = port.next().await;
        let (mut sent, mut failure) = (false, None);
        for address in addresses.known() {
            match socket.send_to(&message, address).await {
                Ok(_) => sent = true,
                Err(error) => failure = Some(format!("{address}: {error}")),
            }
        }
        if failure.is_some() {
            addresses.refresh();
        }
        // Nothing sent and nothing failed: there are no peers, or the first lookup has not ended.
        match failure.or_else(|| addresses.failure()).filter(|_| !sent) {
            Some(reason) if is_up => {
                is_up = false;
                port.down(format_args!("UDP: no peer can be reached: {reason}"));
            }
            None if !is_up => {
                is_up = true;
                port.up();
            }
            _ => {}
        }
    }
}

async fn receive(socket: &Socket, port: &Port) -> Infallible {
    // One more byte than the longest: a longer datagram arrives as too long, and not cut to fit.
    let mut buffer = [0; LONGEST_MESSAGE + 1];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, _)) => port.deliver(&buffer[..length]),
            // Such as an ICMP message about an earlier send: nothing that ends receiving.
            Err(_) => sleep(PAUSE).await,
        }
    }
}
