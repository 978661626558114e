//! GCP Secret Manager: drongo.

use std::process::Command;
use std::time::Duration;

use super::python::Environment;
use super::{Server, Started, environment, net};

const DRONGO: Environment = Environment::new("drongo");
const ADDRESS: &str = "STRONGROOM_TEST_GCP";
const HEALTH: &str = "/drongo/health";

/// As the server's own command, but each answer leaves in one piece and at once: with Nagle's algorithm
/// and delayed acknowledgements a request took 40 ms.
const PROGRAM: &str = "\
import sys
import drongo.server as server
handler = server.DrongoHTTPRequestHandler
handler.disable_nagle_algorithm = True
handler.wbufsize = -1
server.run('127.0.0.1', int(sys.argv[1]))
";

/// REST only; checks neither credentials nor etags.
pub(super) const SERVER: Server = Server {
    name: "gcp",
    about: "drongo 0.8.0: Secret Manager over REST, no credentials",
    install: |folders| DRONGO.install(folders),
    start: |place| {
        let [port] = net::free_ports()?;
        let mut drongo = Command::new(DRONGO.program(place.folders, "python"));
        drongo.args(["-c", PROGRAM, &port.to_string()]);
        let mut daemon = place.spawn(&mut drongo)?;
        let address = format!("http://127.0.0.1:{port}");
        daemon.wait_until(|| net::is_ok(&address, HEALTH), Duration::from_secs(60))?;
        Ok(Started {
            process: Some(daemon),
            environment: environment([(ADDRESS, address)]),
        })
    },
    is_healthy: |_, record| {
        let address = record.variable(ADDRESS);
        address.is_some_and(|address| net::is_ok(address, HEALTH))
    },
};
