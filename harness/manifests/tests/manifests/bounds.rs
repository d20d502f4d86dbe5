//! Large input: 10,000 objects, 50 MB, one document that is far too much.

use std::fmt::Write;

use manifests::{ManifestError, Source, load, load_all};

/// A Deployment and a Service.
fn pair(text: &mut String, index: usize) {
    write!(
        text,
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: w{index}, labels: {{app: w{index}}}}}
spec:
  selector: {{matchLabels: {{app: w{index}}}}}
  template:
    metadata: {{labels: {{app: w{index}}}}}
    spec:
      containers:
        - name: c
          image: registry.example.com/w{index}:1
          ports: [{{name: http, containerPort: 8080}}]
          resources: {{requests: {{cpu: 100m, memory: 64Mi}}}}
          readinessProbe: {{httpGet: {{path: /ready, port: http}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: w{index}}}
spec: {{selector: {{app: w{index}}}, ports: [{{port: 80, targetPort: http}}]}}
---
"
    )
    .unwrap();
}

#[test]
fn ten_thousand_objects_are_read() {
    let mut text = String::new();
    (0..5_000).for_each(|index| pair(&mut text, index));
    let platform = manifests::read(&text, "m.yaml").unwrap();
    assert_eq!((platform.workloads.len(), platform.services.len()), (5_000, 5_000));
    assert_eq!(platform.workloads[4_999].place.line, 4_999 * 20 + 1);
}

#[test]
fn fifty_megabytes_of_configuration_are_read() {
    let mut text = String::new();
    pair(&mut text, 0);
    let line = format!("    {}\n", "x".repeat(95));
    for index in 0..50 {
        write!(text, "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{index}}}\ndata:\n  text: |\n").unwrap();
        text += &line.repeat(10_000);
        text += "---\n";
    }
    assert!(text.len() > 50_000_000, "{}", text.len());
    assert_eq!(manifests::read(&text, "m.yaml").unwrap().configs.len(), 50);
}

#[test]
fn what_is_no_text_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    for (case, bytes, want) in [
        ("Latin-1", &b"a: 1\nb: caf\xe9\n"[..], "m.yaml:2: the byte 0xe9 is no UTF-8"),
        ("UTF-16", b"\xff\xfea\x00", "m.yaml:1: the file is UTF-16"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let problem = load(&Source::Path(file.clone()), "production").unwrap_err().to_string();
        assert!(problem.contains(want), "{case}: {problem}");
    }
    #[cfg(target_os = "linux")]
    {
        let endless = load(&Source::Path("/dev/zero".into()), "production").unwrap_err();
        assert!(matches!(endless, ManifestError::TooLarge { .. }), "{endless}");
    }
}

#[test]
fn one_broken_object_does_not_hide_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    let mut text = String::new();
    pair(&mut text, 0);
    text += "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 99999}]}}\n---\na: [\n---\n";
    pair(&mut text, 1);
    std::fs::write(&file, &text).unwrap();
    let (loaded, errors) = load_all(&Source::Path(file), "production");
    assert_eq!((loaded.platform.workloads.len(), loaded.objects.len(), errors.len()), (2, 5, 2), "{errors:?}");
    let field = errors.iter().find(|error| matches!(error, ManifestError::Field { .. })).unwrap();
    let excerpt = loaded.excerpt(field.place().unwrap()).unwrap();
    assert!(excerpt.contains("port: 99999") && excerpt.contains('^'), "{excerpt}");
}
