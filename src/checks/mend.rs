//! How what is missing comes into a workspace: by the environment's setup, with the command that the
//! repository's own files ask for.

/// Whose packages are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ecosystem {
    Node,
    Python,
    Rust,
    Go,
    Maven,
    Gradle,
    Ruby,
    Php,
}

impl Ecosystem {
    /// Which one a command is of, where its words tell.
    pub(super) fn of(command: &str) -> Option<Self> {
        let words = || command.split(|c: char| c.is_whitespace() || matches!(c, ';' | '&' | '|' | '(' | ')'));
        words().find_map(|word| {
            Some(match word.rsplit('/').next().unwrap_or(word) {
                "npm" | "npx" | "yarn" | "pnpm" | "node" | "jest" | "vitest" | "mocha" | "tsc" | "eslint" => Self::Node,
                "pytest" | "pip" | "tox" | "poetry" | "uv" | "ruff" | "mypy" => Self::Python,
                python if python.starts_with("python") => Self::Python,
                "cargo" => Self::Rust,
                "go" => Self::Go,
                "mvn" | "mvnw" => Self::Maven,
                "gradle" | "gradlew" => Self::Gradle,
                "bundle" | "rspec" | "rake" | "ruby" => Self::Ruby,
                "composer" | "phpunit" | "php" => Self::Php,
                _ => return None,
            })
        })
    }

    /// The first whose file is there stands.
    fn installs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Node => &[
                ("pnpm-lock.yaml", "pnpm install --frozen-lockfile"),
                ("yarn.lock", "yarn install --frozen-lockfile"),
                ("package-lock.json", "npm ci"),
                ("", "npm install"),
            ],
            Self::Python => &[
                ("uv.lock", "uv sync"),
                ("poetry.lock", "poetry install"),
                ("requirements.txt", "pip install -r requirements.txt"),
                ("pyproject.toml", "pip install -e ."),
                ("setup.py", "pip install -e ."),
                ("", "pip install"),
            ],
            Self::Rust => &[("", "cargo fetch")],
            Self::Go => &[("", "go mod download")],
            Self::Maven => &[("", "mvn dependency:go-offline")],
            Self::Gradle => &[("gradlew", "./gradlew dependencies"), ("", "gradle dependencies")],
            Self::Ruby => &[("", "bundle install")],
            Self::Php => &[("", "composer install")],
        }
    }
}

/// What to do so that the package `name` is there. `paths` are the base's, sorted.
pub(super) fn setup(ecosystem: Option<Ecosystem>, name: &str, paths: &[String]) -> String {
    let Some(ecosystem) = ecosystem else {
        return "install it by the environment's setup, or let the repository bring it".to_owned();
    };
    let has = |name: &str| name.is_empty() || paths.binary_search_by(|path| path.as_str().cmp(name)).is_ok();
    let install = ecosystem.installs().iter().find(|(file, _)| has(file)).map_or("", |(_, command)| command);
    // Nothing in the repository lists what is needed.
    let install = if install == "pip install" { format!("{install} {name}") } else { install.to_owned() };
    format!("set up an environment that runs `{}`, or let the repository bring it", install.trim_end())
}
