//! Loading the production overlay from its rendered text, and a stream of 10,000 objects.

use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use manifests::{Source, load_all, read};

fn loading(c: &mut Criterion) {
    c.bench_function("load the production overlay", |b| {
        b.iter(|| load_all(black_box(&Source::BuiltIn), "production"));
    });
    let mut text = String::new();
    for index in 0..10_000 {
        write!(
            text,
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: w{index}}}\nspec:\n  template:\n    spec:\n      \
             containers: [{{name: c, image: i, resources: {{requests: {{cpu: 100m, memory: 64Mi}}}}}}]\n---\n"
        )
        .expect("a String takes it");
    }
    let mut group = c.benchmark_group("many");
    group.sample_size(10);
    group.bench_function("read 10,000 objects", |b| b.iter(|| read(black_box(&text), "m.yaml")));
    group.finish();
}

criterion_group!(benches, loading);
criterion_main!(benches);
