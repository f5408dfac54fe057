//! A socket that never blocks, plain or with TLS by rustls, whose connection does no I/O itself.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use tokio_rustls::rustls::ClientConnection;

/// The bytes of one connection.
pub(crate) struct Transport {
    socket: Socket,
    tls: Option<Box<ClientConnection>>,
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Transport {
    /// A TCP connection, with TLS where a handshake was made. The socket does not block.
    pub fn tcp(socket: TcpStream, tls: Option<ClientConnection>) -> Self {
        Transport { socket: Socket::Tcp(socket), tls: tls.map(Box::new) }
    }

    /// A Unix socket, which does not block.
    pub fn unix(socket: UnixStream) -> Self {
        Transport { socket: Socket::Unix(socket), tls: None }
    }

    /// Reads what has come. 0 is the end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has; others end the connection.
    pub fn read(&mut self, into: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.read_vectored(into) };
        loop {
            match tls.reader().read_vectored(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            if tls.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            tls.process_new_packets().map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
        }
    }

    /// Sends what fits. Returns how much was taken; [`Transport::wants_write`] tells whether it has left.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits; others end the connection.
    pub fn write(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.write_vectored(bytes) };
        // What it holds already goes first: its own buffer is not to grow with what a server does not read.
        while tls.wants_write() {
            tls.write_tls(&mut self.socket)?;
        }
        tls.writer().write_vectored(bytes)
    }

    /// Sends what TLS still holds.
    ///
    /// # Errors
    /// As [`Transport::write`].
    pub fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                tls.write_tls(&mut self.socket)?;
            }
        }
        Ok(())
    }

    /// Whether something that was taken has not left.
    pub fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Whether a read that did not fill its buffers has taken all there was.
    pub fn short_read_is_last(&self) -> bool {
        self.tls.is_none()
    }

    /// The descriptor to wait on.
    pub fn fd(&self) -> RawFd {
        match &self.socket {
            Socket::Tcp(socket) => socket.as_raw_fd(),
            Socket::Unix(socket) => socket.as_raw_fd(),
        }
    }
}

/// Ends the connection of a socket in both directions; whoever waits on it is woken.
pub(super) fn shut_down(fd: RawFd) {
    // SAFETY: a call without memory; on a descriptor that is no socket, or none, it fails and does nothing.
    unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
}

/// Whether there is something to read on a socket, or its end.
pub(super) fn is_readable(fd: RawFd) -> bool {
    let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry of ours; a time of 0 does not wait.
    unsafe { libc::poll(&raw mut entry, 1, 0) == 1 }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.read(into),
            Socket::Unix(socket) => socket.read(into),
        }
    }

    fn read_vectored(&mut self, into: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.read_vectored(into),
            Socket::Unix(socket) => socket.read_vectored(into),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.write(bytes),
            Socket::Unix(socket) => socket.write(bytes),
        }
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.write_vectored(bytes),
            Socket::Unix(socket) => socket.write_vectored(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
