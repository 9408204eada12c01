//! `[memory]` and `[embeddings]`, by file and by variable.

use journeyman::config::{Environment, Settings};
use std::time::Duration;

fn load(toml: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), toml).unwrap();
    let environment =
        Environment::new([("HOME", "/home/ada")]).with("JOURNEYMAN_CONFIG", file.path().to_str().unwrap());
    let environment = variables.iter().fold(environment, |environment, (name, value)| environment.with(name, value));
    Settings::load(None, &environment).map_err(|error| error.to_string())
}

#[test]
fn without_settings_words_alone_are_recalled_by() {
    let settings = load("", &[]).unwrap();
    assert_eq!(settings.memory.recall_tokens, 1_500);
    assert!(settings.memory.embeddings.is_none());
}

#[test]
fn variables_go_over_the_file_and_the_key_is_never_shown() {
    let file = "[memory]\nrecall_tokens = 700\n[embeddings]\nurl = \"https://one.example/v1\"\nmodel = \"small\"\nkey = \"of-the-file-1234\"\n\
        dimensions = 256\nprice_usd = 0.02\ntimeout_seconds = 2.5\n";
    let settings = load(file, &[]).unwrap();
    let set = settings.memory.embeddings.as_ref().unwrap();
    let embedder = &set.embedder;
    assert_eq!(settings.memory.recall_tokens, 700);
    assert_eq!((embedder.url.as_str(), embedder.model.as_str()), ("https://one.example/v1", "small"));
    assert_eq!((embedder.dimensions, embedder.price_usd), (Some(256), 0.02));
    assert_eq!((embedder.timeout, embedder.retries), (Duration::from_millis(2_500), 2));
    assert_eq!(set.key.as_ref().unwrap().expose(), "of-the-file-1234");
    assert_eq!(settings.redactor().redact("it is of-the-file-1234"), "it is ***");
    assert!(!format!("{:?}", settings.memory).contains("of-the-file"));

    let over = [
        ("JOURNEYMAN_MEMORY_RECALL_TOKENS", "0"),
        ("JOURNEYMAN_EMBEDDINGS_URL", "http://two.example:8080/v1"),
        ("JOURNEYMAN_EMBEDDINGS_MODEL", "large"),
        ("JOURNEYMAN_EMBEDDINGS_KEY", "of-a-variable-5678"),
        ("JOURNEYMAN_EMBEDDINGS_DIMENSIONS", "1024"),
        ("JOURNEYMAN_EMBEDDINGS_PRICE_USD", "0.13"),
        ("JOURNEYMAN_EMBEDDINGS_TIMEOUT_SECONDS", "30"),
    ];
    let settings = load(file, &over).unwrap();
    let set = settings.memory.embeddings.as_ref().unwrap();
    assert_eq!(settings.memory.recall_tokens, 0);
    assert_eq!((set.embedder.url.as_str(), set.embedder.model.as_str()), ("http://two.example:8080/v1", "large"));
    assert_eq!((set.embedder.dimensions, set.embedder.price_usd), (Some(1024), 0.13));
    assert_eq!(set.embedder.timeout, Duration::from_secs(30));
    assert_eq!(set.key.as_ref().unwrap().expose(), "of-a-variable-5678");
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_the_mend() {
    for (file, variables, expected) in [
        ("memory = 3", vec![], "write it as a table: [memory]"),
        ("[memory]\nrecal_tokens = 3", vec![], "did you mean `recall_tokens`?"),
        ("[memory]\nrecall_tokens = 20001", vec![], "`recall_tokens`"),
        ("[memory]\nrecall_tokens = [1]", vec![], "`recall_tokens` must be a text or a number"),
        ("", vec![("JOURNEYMAN_MEMORY_RECALL_TOKENS", "many")], "JOURNEYMAN_MEMORY_RECALL_TOKENS"),
        ("[embeddings]\nmodel = \"small\"", vec![], "`url` is missing"),
        ("[embeddings]\nurl = \"https://one.example/v1\"", vec![], "`model` is missing"),
        ("[embeddings]\nurl = \"https://one.example/v1\"\nmodel = \" \"", vec![], "`model` is missing"),
        ("[embeddings]\nurl = \"ftp://one.example\"\nmodel = \"small\"", vec![], "`url`"),
        ("[embeddings]\nurl = \"https://one.example/v1\"\nmodel = \"s\"\nprice_usd = -1", vec![], "`price_usd`"),
        ("[embeddings]\nurl = \"https://one.example/v1\"\nmodel = \"s\"\ndimensions = 4097", vec![], "`dimensions`"),
        (
            "[embeddings]\nurl = \"https://one.example/v1\"\nmodel = \"s\"\ntimeout_seconds = 0",
            vec![],
            "`timeout_seconds`",
        ),
        ("", vec![("JOURNEYMAN_EMBEDDINGS_KEY", "a-key-without-a-url")], "JOURNEYMAN_EMBEDDINGS_URL"),
    ] {
        let error = load(file, &variables).map(drop).unwrap_err();
        assert!(error.contains(expected), "{file} {variables:?}: {error}");
        assert!(!error.contains("a-key-without"), "{error}");
    }
}
