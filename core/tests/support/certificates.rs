//! Certificates of the test's own, made by the `openssl` command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::server::{Server, temporary_directory};

/// An authority, a server's certificate for one host name, and a client's.
pub struct Certificates {
    directory: PathBuf,
}

impl Certificates {
    /// For a server that is called `name`: `DNS:…` or `IP:…`.
    pub fn make(name: &str) -> Certificates {
        let directory = temporary_directory();
        let me = Certificates { directory };
        me.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=Test authority",
            "-keyout",
            "ca.key",
            "-out",
            "ca.crt",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
        ]);
        me.issue("server", name);
        me.issue("client", "DNS:client");
        me
    }

    fn issue(&self, who: &str, name: &str) {
        let (key, request, certificate) = (format!("{who}.key"), format!("{who}.csr"), format!("{who}.crt"));
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            "/CN=Test",
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        let extensions = format!("subjectAltName={name}\nbasicConstraints=CA:FALSE\n");
        std::fs::write(self.directory.join("extensions"), extensions).expect("a file");
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "extensions",
            "-out",
            &certificate,
        ]);
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .output()
            .expect("openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn path(&self, file: &str) -> String {
        self.directory.join(file).to_str().expect("a path in UTF-8").to_owned()
    }

    pub fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.directory.join(file)).expect("a file")
    }

    /// A server that speaks TLS only, and asks clients for a certificate if told so.
    pub fn serve(&self, clients_need_one: bool) -> Server {
        let directory = temporary_directory();
        Server::start_in(directory, |port| {
            let clients = if clients_need_one { "yes" } else { "no" };
            [
                ("--tls-port", port.to_string()),
                ("--port", "0".to_owned()),
                ("--tls-cert-file", self.path("server.crt")),
                ("--tls-key-file", self.path("server.key")),
                ("--tls-ca-cert-file", self.path("ca.crt")),
                ("--tls-auth-clients", clients.to_owned()),
            ]
            .into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value])
            .collect()
        })
    }
}

impl AsRef<Path> for Certificates {
    fn as_ref(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        // A temporary directory: left over, it hurts nobody.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
