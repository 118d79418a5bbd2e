//! A bare connection, for callers that do not behave.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// One TCP connection to the gateway.
#[derive(Debug)]
pub struct Raw(TcpStream);

impl Raw {
    /// Connects, and waits for no read longer than ten seconds.
    pub fn connect(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).expect("a connection");
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a time-out");
        Raw(stream)
    }

    /// Sends bytes. False where the other side had closed.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).is_ok()
    }

    /// What comes until the other side closes or ten seconds are over, and how long it took.
    pub fn read_to_end(mut self) -> (String, Duration) {
        let started = Instant::now();
        let mut got = Vec::new();
        // A reset counts as an end too: what came before is still there.
        let _ = self.0.read_to_end(&mut got);
        (
            String::from_utf8_lossy(&got).into_owned(),
            started.elapsed(),
        )
    }

    /// What comes first within this time; empty where nothing does.
    pub fn first_bytes(&mut self, time: Duration) -> String {
        self.0.set_read_timeout(Some(time)).expect("a time-out");
        let mut got = [0; 1024];
        let bytes = self.0.read(&mut got).unwrap_or(0);
        String::from_utf8_lossy(&got[..bytes]).into_owned()
    }
}
