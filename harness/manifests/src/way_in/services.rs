//! A way in made from the Services: one server with a location for each.

use platform::{Platform, ServiceKind};

use super::conf::{Conf, Made, Writer, is_name, quoted};
use super::http::http_port;

/// A location `/NAME/` for every Service with HTTP pods, which strips its prefix.
pub(super) fn conf(platform: &Platform, port: u16) -> Conf {
    let mut writer = Writer::default();
    for service in &platform.services {
        if matches!(service.kind, ServiceKind::Headless | ServiceKind::ExternalName(_)) || !is_name(&service.name) {
            continue;
        }
        let Some(workload) = platform.selected_by(service).next() else { continue };
        let Some(dialled) = http_port(platform, service, workload) else { continue };
        let upstream = writer.upstream(&service.name, &service.namespace, dialled);
        let made = |name: &str| Made {
            head: quoted("", &format!("/{name}/")),
            body: format!("proxy_pass http://{upstream}/;"),
            place: service.place.clone(),
        };
        if !writer.location("", made(&service.name)) {
            writer.location("", made(&format!("{}.{}", service.name, service.namespace)));
        }
    }
    writer.finish(port)
}
