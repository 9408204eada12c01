//! Tests of the table of languages: definitions, references and errors of each.

use parsers::{Batch, Checked, File, Index, Wanted, answer};

/// Path, content, content before.
type Given<'a> = (&'a str, &'a [u8], Option<&'a [u8]>);

fn run(wanted: Wanted, files: &[Given<'_>]) -> Vec<u8> {
    let files: Vec<File<&[u8]>> = files
        .iter()
        .map(|(path, content, before)| File { path: (*path).to_owned(), content: *content, before: *before })
        .collect();
    let batch = Batch { wanted, time_ms: 60_000, files };
    let mut input = batch.header().unwrap();
    for file in &batch.files {
        input.extend_from_slice(file.content);
        input.extend_from_slice(file.before.unwrap_or_default());
    }
    let mut output = Vec::new();
    answer(&input[..], &mut output).unwrap();
    output
}

pub(super) fn index(files: &[(&str, &str)]) -> Index {
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_bytes(), None)).collect();
    serde_json::from_slice(&run(Wanted::Index, &files)).unwrap()
}

pub(super) fn check(path: &str, before: Option<&str>, after: &[u8]) -> Checked {
    let checked: Vec<Option<Checked>> =
        serde_json::from_slice(&run(Wanted::Errors, &[(path, after, before.map(str::as_bytes))])).unwrap();
    checked.into_iter().next().unwrap().unwrap()
}

/// A language: a file's name, its text, its definitions as `line holder.name exported`, a second
/// file that refers to the first, whom it refers to, and a text that is broken in the line named.
struct Case {
    path: &'static str,
    text: &'static str,
    definitions: &'static [&'static str],
    user: (&'static str, &'static str),
    used: &'static [&'static str],
    broken: (&'static str, u32),
}

const CASES: &[Case] = &[
    Case {
        path: "src/a.rs",
        text: "/// Doc.\npub struct Parser { at: usize }\n\nimpl Parser {\n    pub fn parse_all(&self) -> usize {\n        fn inner() {}\n        helper(1)\n    }\n}\nfn helper(x: usize) -> usize { x }\npub trait Reads { fn read_one(&self); }\nmacro_rules! shout { () => {} }\nconst LIMIT: u8 = 3;\n",
        definitions: &[
            "2 Parser pub",
            "5 Parser.parse_all pub",
            "10 helper",
            "11 Reads pub",
            "11 Reads.read_one",
            "12 shout",
            "13 LIMIT",
        ],
        user: ("src/b.rs", "use crate::a::Parser;\nfn go(p: Parser) { p.parse_all(); p.parse_all(); }\n"),
        used: &["Parser", "Parser.parse_all"],
        broken: ("fn a() {\n    let x = ;\n}\n", 2),
    },
    Case {
        path: "a/b.py",
        text: "LIMIT = 3\nlower = 1\n\nclass Shop(Base):\n    @property\n    def total(self):\n        def inner(): pass\n        return 1\n\nasync def open_shop(name):\n    pass\n\ndef _hidden(): pass\n",
        definitions: &["1 LIMIT pub", "4 Shop pub", "6 Shop.total pub", "10 open_shop pub", "13 _hidden"],
        user: ("a/c.py", "from b import Shop, open_shop\nprint(open_shop('x').total)\n"),
        used: &["Shop", "Shop.total", "open_shop"],
        broken: ("def a():\n    return 1\n\ndef b(:\n    pass\n", 4),
    },
    Case {
        path: "a.js",
        text: "export class Cart {\n  addItem(item) { return item }\n}\nexport const makeCart = (x) => { const inner = () => 1; return inner }\nfunction hidden() {}\nconst MAX_ITEMS = 5\nlet count = 0\nexports.later = function (x) { return x }\n",
        definitions: &["1 Cart pub", "2 Cart.addItem pub", "4 makeCart pub", "5 hidden", "6 MAX_ITEMS", "8 later"],
        user: ("b.mjs", "import { makeCart } from './a.js'\nmakeCart().addItem(1)\n"),
        used: &["Cart.addItem", "makeCart"],
        broken: ("function a() {\n  return {\n}\n\nconst b = [1, 2;\n", 5),
    },
    Case {
        path: "a.ts",
        text: "export interface Shape { area(): number }\nexport type Id = string\nenum Colour { Red }\nexport abstract class Base<T> {\n  abstract run(x: T): void\n  private stop(): void {}\n}\nexport function draw(s: Shape): Id { return '' }\n",
        definitions: &[
            "1 Shape pub",
            "2 Id pub",
            "3 Colour",
            "4 Base pub",
            "5 Base.run pub",
            "6 Base.stop pub",
            "8 draw pub",
        ],
        user: ("b.ts", "import { draw, Shape } from './a'\nlet s: Shape\ndraw(s)\n"),
        used: &["Shape", "draw"],
        broken: ("interface A {\n  x: number\n}\nlet y: = 3\n", 4),
    },
    Case {
        path: "App.tsx",
        text: "export const Button = (p: Props) => <button>{p.label}</button>\ntype Props = { label: string }\n",
        definitions: &["1 Button pub", "2 Props"],
        user: (
            "Page.tsx",
            "import { Button } from './App'\nexport function Page() { return <Button label=\"x\" /> }\n",
        ),
        used: &["Button"],
        broken: ("const a = <p>x</p>\nlet b: = 3\n", 2),
    },
    Case {
        path: "a.go",
        text: "package a\n\ntype Store struct{ n int }\n\nfunc NewStore() *Store { return nil }\n\nfunc (s *Store) Get(key string) error {\n\tif err != nil { return err }\n\treturn nil\n}\n\nconst maxKeys = 3\n",
        definitions: &["3 Store pub", "5 NewStore pub", "7 Get pub", "12 maxKeys"],
        user: ("b.go", "package a\n\nfunc use() { NewStore().Get(\"x\") }\n"),
        used: &["NewStore", "Get"],
        broken: ("package a\n\nfunc a() {\n\tx := [1\n}\n", 4),
    },
    Case {
        path: "A.java",
        text: "package a;\npublic class Account {\n  public Account() {}\n  public long balance() { return 0; }\n  private void audit() {}\n}\ninterface Ledger { void post(); }\n",
        definitions: &[
            "2 Account pub",
            "3 Account.Account pub",
            "4 Account.balance pub",
            "5 Account.audit",
            "7 Ledger",
            "7 Ledger.post",
        ],
        user: ("B.java", "class B { Ledger l; long go(Account a) { return a.balance(); } }\n"),
        used: &["Account", "Account.Account", "Account.balance", "Ledger"],
        broken: ("class A {\n  void a() {\n    int x = ;\n  }\n}\n", 3),
    },
    Case {
        path: "a.c",
        text: "#define SQUARE(x) ((x) * (x))\nstruct point { int x; };\ntypedef struct point point_t;\nstatic int hidden(void) { return 1; }\nint *make_point(struct point *p) { return 0; }\nint declared(void);\n",
        definitions: &["1 SQUARE pub", "2 point pub", "3 point_t pub", "4 hidden", "5 make_point pub"],
        user: ("b.c", "void use(point_t p) { make_point(0); }\n"),
        used: &["point_t", "make_point"],
        broken: ("int a(void) {\n  int x = 3\n  return x;\n}\n", 2),
    },
    Case {
        path: "a.cpp",
        text: "namespace shop {\nclass Cart {\n public:\n  int total() const { return 1; }\n};\nint Cart::count(int x) { return x; }\nenum class Kind { A };\nusing Items = int;\n}\n",
        definitions: &[
            "2 shop.Cart pub",
            "4 Cart.total pub",
            "6 shop.count pub",
            "7 shop.Kind pub",
            "8 shop.Items pub",
        ],
        user: ("b.cc", "int use(shop::Cart &c) { return c.total() + c.count(1); }\n"),
        used: &["shop.Cart", "Cart.total", "shop.count"],
        broken: ("class A {\n  int x;\n};\nint f( { return 1; }\n", 4),
    },
    Case {
        path: "a.rb",
        text: "module Shop\n  LIMIT = 3\n  class Cart\n    def total(x)\n      x\n    end\n    def self.make\n    end\n  end\nend\n",
        definitions: &["1 Shop pub", "2 Shop.LIMIT pub", "3 Shop.Cart pub", "4 Cart.total pub", "7 Cart.make pub"],
        user: ("b.rb", "puts Shop::Cart.make.total(1)\n"),
        used: &["Shop", "Shop.Cart", "Cart.total", "Cart.make"],
        broken: ("def a\n  1\nend\n\ndef b(\nend\n", 5),
    },
];

#[test]
fn each_language_gives_definitions_references_and_errors() {
    let mut wrong = Vec::new();
    for case in CASES {
        let index = index(&[(case.path, case.text), case.user]);
        let Some(file) = index.files.iter().find(|file| file.file == 0) else {
            wrong.push(format!("{}: not outlined", case.path));
            continue;
        };
        let name = |definition: &parsers::Definition| match &definition.holder {
            Some(holder) if holder != &definition.name || definition.kind == parsers::Kind::Function => {
                format!("{holder}.{}", definition.name)
            }
            _ => definition.name.clone(),
        };
        let found: Vec<String> = file
            .definitions
            .iter()
            .map(|it| format!("{} {}{}", it.line, name(it), if it.exported { " pub" } else { "" }))
            .collect();
        if found != case.definitions {
            wrong.push(format!("{} defines {found:?}", case.path));
        }
        let used: Vec<String> = file.definitions.iter().filter(|it| it.users == 1).map(name).collect();
        if used != case.used {
            wrong.push(format!("{} is used for {used:?}", case.path));
        }
        let fine = check(case.path, None, case.text.as_bytes());
        if fine.new != 0 {
            wrong.push(format!("{}: {:?} in what is right", case.path, fine.errors));
        }
        let (broken, line) = case.broken;
        let errors = check(case.path, Some(case.text), broken.as_bytes()).errors;
        if !errors.iter().any(|error| error.line.abs_diff(line) == 0) {
            wrong.push(format!("{}: {errors:?} instead of line {line}", case.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn data_files_are_checked_by_their_own_rules() {
    type Row = (&'static str, &'static str, Option<(u32, u32)>);
    let table: &[Row] = &[
        ("package.json", "{\"a\": 1,\n \"b\": }\n", Some((2, 7))),
        ("package.json", "{\"a\": [1, 2]}\n", None),
        ("tsconfig.json", "{ // a comment\n}\n", None),
        (".vscode/settings.json", "{ // a comment\n}\n", None),
        ("Cargo.toml", "[package]\nname = \n", Some((2, 8))),
        ("Cargo.toml", "[package]\nname = \"a\"\n[package]\n", Some((3, 2))),
        ("pyproject.toml", "[a]\nb = 1\n", None),
    ];
    for (path, text, expected) in table {
        if parsers::can_be_checked(path) {
            let error = check(path, None, text.as_bytes()).errors.into_iter().next();
            assert_eq!(error.as_ref().map(|it| (it.line, it.column)), *expected, "{path}: {text}: {error:?}");
        } else {
            assert_eq!(*expected, None, "{path}");
        }
    }
}

#[test]
fn errors_that_were_there_before_are_not_the_edits() {
    let before = "def a(:\n    pass\n\n\ndef b():\n    return 1\n";
    let same = check("a.py", Some(before), before.replace("return 1", "return 2").as_bytes());
    assert_eq!((same.new, same.earlier, same.errors.len()), (0, 1, 0), "{same:?}");
    let moved = check("a.py", Some(before), format!("import os\n\n{before}").as_bytes());
    assert_eq!((moved.new, moved.earlier), (0, 1), "{moved:?}");
    let worse = check("a.py", Some(before), format!("{before}\nx = = 3\n").as_bytes());
    assert_eq!((worse.new, worse.earlier), (1, 1), "{worse:?}");
    assert_eq!((worse.errors[0].line, worse.errors[0].text.as_str()), (8, "x = = 3"), "{worse:?}");
    let mended = check("a.py", Some(before), before.replace("(:", "():").as_bytes());
    assert_eq!((mended.new, mended.earlier), (0, 0), "{mended:?}");
}

#[test]
fn words_of_requests_and_of_identifiers_meet() {
    let words = |text: &str| parsers::words::of(text).collect::<Vec<_>>();
    assert_eq!(words("parse_URLPath2 HTTPServer"), ["pars", "url", "path", "http", "serv"]);
    assert_eq!(words("Please fix the parsing of limits"), ["pars", "limit"]);
    for (one, other) in [("parsing", "parse"), ("limits", "limit"), ("validation", "validate"), ("caches", "cache")] {
        assert_eq!(words(one), words(other));
    }
}
