//! Where services listen.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use super::Reader;

/// What all HTTP listeners of a process share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// The address of all listeners that have only a port of their own.
    pub bind_addr: IpAddr,
}

/// The files of a TLS listener; read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, PEM, the server's own first.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// Clients must show a certificate signed by one of these authorities.
    pub client_ca: Option<PathBuf>,
}

/// The settings that name a listener's [`TlsFiles`].
#[derive(Debug, Clone, Copy)]
pub struct TlsKeys {
    /// As `INGEST_TLS_CERT_PATH`.
    pub cert: &'static str,
    /// As `INGEST_TLS_KEY_PATH`.
    pub key: &'static str,
    /// As `SYSLOG_TLS_CLIENT_CA_PATH`; not every listener has one.
    pub client_ca: Option<&'static str>,
}

impl HttpSettings {
    /// Reads the section `http`; ports follow with [`HttpSettings::listener`].
    pub fn read(reader: &mut Reader) -> Self {
        reader.section("http");
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let bind_addr = reader.parsed(
            "BIND_ADDR",
            "0.0.0.0",
            "an IP address",
            "Address on which HTTP is served; 0.0.0.0 for all of IPv4, :: for all",
            |text| text.parse().ok(),
        );
        Self { bind_addr: bind_addr.unwrap_or(any) }
    }

    /// One listener by its port; port 0 takes a free one.
    pub fn listener(
        &self,
        reader: &mut Reader,
        key: &'static str,
        default: u16,
        doc: &'static str,
    ) -> SocketAddr {
        SocketAddr::new(self.bind_addr, reader.number(key, default, 0..=u16::MAX, doc))
    }
}

impl TlsFiles {
    /// Reads the files of one listener; `None` when none is named.
    pub fn read(reader: &mut Reader, keys: TlsKeys) -> Option<Self> {
        let cert = reader.path(
            keys.cert,
            "",
            "Certificate chain of this listener, PEM; with its key it turns TLS on",
        );
        let key = reader.path(keys.key, "", "Private key of this listener, PEM");
        let client_ca = keys.client_ca.and_then(|client_ca| {
            reader.path(
                client_ca,
                "",
                "Authority, PEM, whose certificates clients of this listener must show",
            )
        });
        match (cert, key) {
            (Some(cert), Some(key)) => Some(Self { cert, key, client_ca }),
            (Some(_), None) => {
                reader.problem(keys.key, format!("must be set when {} is", keys.cert));
                None
            }
            (None, Some(_)) => {
                reader.problem(keys.cert, format!("must be set when {} is", keys.key));
                None
            }
            (None, None) => {
                if let (Some(_), Some(client_ca)) = (client_ca, keys.client_ca) {
                    reader.problem(client_ca, format!("needs {} and {}", keys.cert, keys.key));
                }
                None
            }
        }
    }
}
