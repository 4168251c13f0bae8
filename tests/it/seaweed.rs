//! A real S3 server for a test: SeaweedFS, on free ports, ended by its process id.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// One server with one bucket in it.
pub(crate) struct Seaweed {
    child: Child,
    port: u16,
    _data: tempfile::TempDir,
}

/// The name of the bucket.
pub(crate) const BUCKET: &str = "flyball-test";

impl Seaweed {
    /// Starts `weed` and waits until it takes objects.
    pub(crate) fn start(weed: &Path) -> Self {
        let data = tempfile::tempdir().unwrap();
        let ports = free_ports::<8>();
        let [
            s3,
            s3_grpc,
            master,
            master_grpc,
            volume,
            volume_grpc,
            filer,
            filer_grpc,
        ] = ports;
        let mut command = Command::new(weed);
        command
            .arg("server")
            .arg(format!("-dir={}", data.path().display()));
        for option in [
            "-ip=127.0.0.1".to_owned(),
            "-ip.bind=127.0.0.1".to_owned(),
            "-s3".to_owned(),
            format!("-s3.port={s3}"),
            format!("-s3.port.grpc={s3_grpc}"),
            "-s3.port.iceberg=0".to_owned(),
            "-s3.port.lance=0".to_owned(),
            format!("-master.port={master}"),
            format!("-master.port.grpc={master_grpc}"),
            "-master.volumeSizeLimitMB=64".to_owned(),
            "-master.telemetry=false".to_owned(),
            format!("-volume.port={volume}"),
            format!("-volume.port.grpc={volume_grpc}"),
            format!("-filer.port={filer}"),
            format!("-filer.port.grpc={filer_grpc}"),
        ] {
            command.arg(option);
        }
        let child = command
            .current_dir(data.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("weed starts");
        let server = Self {
            child,
            port: s3,
            _data: data,
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        let ready = || {
            server.put(&format!("/{BUCKET}"))?;
            // The bucket may stand before anything can be written to it.
            server.put(&format!("/{BUCKET}/ready"))
        };
        while ready() != Some(200) {
            assert!(Instant::now() < deadline, "SeaweedFS did not come up");
            std::thread::sleep(Duration::from_millis(100));
        }
        server
    }

    /// host:port of its S3 API.
    pub(crate) fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What Flyball has to be told to use it. It takes any key.
    pub(crate) fn options(&self) -> String {
        format!(
            "aws_endpoint=http://{},aws_allow_http=true,aws_region=us-east-1,aws_access_key_id=any,aws_secret_access_key=any",
            self.endpoint()
        )
    }

    /// Status of a PUT; None when nobody answers.
    fn put(&self, path: &str) -> Option<u16> {
        let mut stream = TcpStream::connect(self.endpoint()).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.endpoint()
        );
        stream.write_all(head.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.split(' ').nth(1)?.parse().ok()
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports that nobody used a moment ago, all different.
fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}
