//! The ADBC driver over TLS and with keys, where `FLYBALL_TEST_READERS` names a Python that has it.

use std::process::Stdio;

use flyball_query::gate::Entrance;
use tokio::process::Command;

use super::doors::{Keys, certified};
use super::serve;
use crate::fixture::{engine, whole_world};

/// usage: HOST:PORT, certificate, then `bearer` and a key, or a user name and a password.
const SCRIPT: &str = r#"
import sys
import adbc_driver_flightsql.dbapi as flight_sql
from adbc_driver_flightsql import DatabaseOptions
from adbc_driver_manager import DatabaseOptions as Named

address, certificate, user, secret = sys.argv[1:]
if user == "bearer":
    login = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {secret}"}
else:
    login = {Named.USERNAME.value: user, Named.PASSWORD.value: secret}
options = {DatabaseOptions.TLS_ROOT_CERTS.value: certificate, **login}
with flight_sql.connect(f"grpc+tls://{address}", db_kwargs=options, autocommit=True) as connection:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM charges WHERE kind = 'model_call' AND calls >= ?", (1,))
        print(cursor.fetchone()[0])
"#;

#[tokio::test]
async fn the_driver_is_let_in_with_a_key_or_a_password_over_tls() {
    let Some(python) = std::env::var_os("FLYBALL_TEST_READERS") else {
        eprintln!("FLYBALL_TEST_READERS names no Python with the ADBC driver: skipped");
        return;
    };
    let (acceptor, certificate) = certified();
    let entrance = Entrance {
        tls: Some(acceptor),
        ..Keys::new(&["a"]).entrance()
    };
    let address = serve(engine(whole_world()).await, entrance).await;
    for (user, secret, told) in [
        ("bearer", "fbk_a", Ok("4")),
        ("anybody", "fbk_a", Ok("4")),
        ("bearer", "fbk_b", Err("key b is not in force")),
        ("anybody", "fbk_b", Err("key b is not in force")),
    ] {
        let output = Command::new(&python)
            .args(["-c", SCRIPT, &format!("localhost:{}", address.port())])
            .args([certificate.pem().as_str(), user, secret])
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        match told {
            Ok(rows) => assert_eq!(said.trim(), rows, "{user}: {errors}"),
            Err(why) => assert!(errors.contains(why), "{user}: {said} {errors}"),
        }
    }
}
