//! C and C++: `CMake`, Meson, autotools. A plain Makefile is a runner's.

use super::super::{
    facts::{Discovery, Purpose},
    manifests::{Repository, join, name},
};

pub(super) const MANIFESTS: &[&str] = &[
    "CMakeLists.txt",
    "CMakePresets.json",
    "meson.build",
    "configure.ac",
    "configure.in",
    "Makefile.am",
    "conanfile.txt",
    "vcpkg.json",
];

pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    for home in repository.homes(&["CMakeLists.txt", "meson.build", "configure.ac", "configure.in"]) {
        let before = all.checks.len();
        if repository.has_in(home, "CMakeLists.txt") {
            cmake(repository, home, all);
        }
        if repository.has_in(home, "meson.build") {
            let origin = join(home, "meson.build");
            all.manager("Meson");
            all.usual(Purpose::Build, home, "meson setup build && meson compile -C build", &origin);
            if mentions(repository, home, "meson.build", &["test("]) {
                let line = "meson setup build && meson test -C build --print-errorlogs";
                one_check(before, home, line, &origin, all);
                all.usual(Purpose::SingleTest, home, "meson test -C build NAME", &origin);
            }
        }
        if let Some(file) = repository.first_in(home, &["configure.ac", "configure.in"]) {
            let origin = join(home, file);
            all.manager("Autotools");
            let start = if repository.has_in(home, "configure") {
                "./configure"
            } else if repository.has_in(home, "autogen.sh") {
                "sh ./autogen.sh && ./configure"
            } else {
                "autoreconf -fi && ./configure"
            };
            all.usual(Purpose::Build, home, format!("{start} && make"), &origin);
            let automake = join(home, "Makefile.am");
            if repository.has(&automake) {
                one_check(before, home, &format!("{start} && make check"), &automake, all);
                all.usual(Purpose::SingleTest, home, "make check TESTS=NAME", &automake);
            }
        }
        if repository.has_in(home, ".clang-format") {
            let sources = "git ls-files '*.c' '*.cc' '*.cpp' '*.h' '*.hpp' | xargs clang-format -i";
            all.usual(Purpose::Format, home, sources, &join(home, ".clang-format"));
        }
        if repository.has_in(home, ".clang-tidy") && repository.has_in(home, "CMakeLists.txt") {
            all.usual(Purpose::Lint, home, "run-clang-tidy -p build", &join(home, ".clang-tidy"));
        }
    }
}

/// One of several build systems beside each other validates.
fn one_check(before: usize, home: &str, line: &str, origin: &str, all: &mut Discovery) {
    if all.checks.len() == before {
        all.check(home, line, origin);
    } else {
        all.usual(Purpose::Test, home, line, origin);
    }
}

fn mentions(repository: &Repository<'_>, home: &str, file: &str, words: &[&str]) -> bool {
    let own = |path: &&str| name(path) == file && (home.is_empty() || path.starts_with(&format!("{home}/")));
    let mut texts = repository.manifests.iter().copied().filter(own).filter_map(|path| repository.text(path));
    texts.any(|text| words.iter().any(|word| text.contains(word)))
}

fn cmake(repository: &Repository<'_>, home: &str, all: &mut Discovery) {
    let origin = join(home, "CMakeLists.txt");
    all.manager("CMake");
    all.usual(Purpose::Build, home, "cmake -S . -B build && cmake --build build", &origin);
    let tests = ["enable_testing", "add_test(", "include(CTest)", "gtest_discover_tests", "catch_discover_tests"];
    if mentions(repository, home, "CMakeLists.txt", &tests) {
        let line = "cmake -S . -B build && cmake --build build && ctest --test-dir build --output-on-failure";
        all.check(home, line, &origin);
        all.usual(Purpose::SingleTest, home, "ctest --test-dir build --output-on-failure -R NAME", &origin);
    }
    for (mark, framework) in [
        ("GTest", "GoogleTest"),
        ("googletest", "GoogleTest"),
        ("Catch2", "Catch2"),
        ("Qt6", "Qt"),
        ("Qt5", "Qt"),
        ("Boost", "Boost"),
    ] {
        if repository.text(&origin).unwrap_or("").contains(mark) {
            all.framework(framework, &origin);
        }
    }
}
