//! Tests that the path of a registry is fixed when it is opened. The test runs in a process of its
//! own, because the working directory belongs to the whole process.
#![cfg(unix)]

use std::fs;
use std::path::Path;

use webhook_registry::Registry;

use crate::permissions::{NOBODY, child, prepared, rerun_as};
use crate::support::{learn, new};

#[test]
fn a_path_stays_fixed_when_the_working_directory_is_moved() {
    let Some(folder) = child() else {
        let (folder, _) = prepared();
        let test = "working_directory::a_path_stays_fixed_when_the_working_directory_is_moved";
        rerun_as(NOBODY, test, folder.path());
        return;
    };
    let names = [":memory:", "file:x?mode=memory", "file:y.db", "./z.db", "%41?a=b#c.db"];
    let mut open = Vec::new();
    for name in names {
        let registry = Registry::open(name).unwrap();
        learn(&registry);
        registry.create(new("one")).unwrap();
        let path = registry.path().unwrap().to_owned();
        assert!(path.is_absolute(), "{}", path.display());
        assert!(fs::metadata(folder.join(name)).unwrap().len() > 0, "{name}");
        assert!(path.ends_with(Path::new(name).file_name().unwrap()));
        open.push((registry, path));
    }
    let elsewhere = tempfile::tempdir().unwrap();
    std::env::set_current_dir(elsewhere.path()).unwrap();
    for (registry, path) in &open {
        assert_eq!(registry.path(), Some(path.as_path()));
        registry.create(new("two")).unwrap();
        // Several threads at once, so that connections are opened.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(registry.iter(Default::default()).count(), 2));
            }
        });
    }
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    for name in names {
        assert_eq!(Registry::open(folder.join(name)).unwrap().len().unwrap(), 2);
    }
}
