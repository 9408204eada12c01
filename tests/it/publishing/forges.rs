//! Forges' own APIs: a pull request is found by its branch or made, a comment by its mark.

use super::forge_server::{Beside, ForgeServer, TOKEN};
use crate::trackers::client;
use journeyman::{
    secrets::Secret,
    trackers::forge::{Forge, ForgeAccess, ForgeError, ForgeKind, NewPullRequest, Standing, Target, Thread},
};

const KINDS: [ForgeKind; 3] = [ForgeKind::Github, ForgeKind::Gitlab, ForgeKind::Gitea];

fn forge(server: &ForgeServer, kind: ForgeKind, token: &str) -> Forge {
    let access = ForgeAccess::new(kind, Some(&server.url), Secret::new(token)).unwrap();
    Forge::new(access, client(&["127.0.0.1"]))
}

fn new() -> NewPullRequest {
    NewPullRequest {
        head: "journeyman/x".to_owned(),
        base: "main".to_owned(),
        title: "Mend it".to_owned(),
        body: "Because.".to_owned(),
        draft: true,
        ..NewPullRequest::default()
    }
}

#[tokio::test]
async fn a_pull_request_is_made_once_and_found_by_its_branch() {
    for kind in KINDS {
        let server = ForgeServer::start(kind).await;
        let forge = forge(&server, kind, TOKEN);
        assert_eq!(forge.pull_request_of("team/calc", "journeyman/x").await.unwrap(), None, "{kind:?}");
        let made = forge.make_pull_request("team/calc", &new()).await.unwrap();
        assert_eq!(made.number, 1);
        assert!(made.url.starts_with("https://forge.example/team/calc/"), "{made:?}");
        assert_eq!(forge.pull_request_of("team/calc", "journeyman/x").await.unwrap(), Some(made));
        assert_eq!(forge.pull_request_of("team/calc", "journeyman/y").await.unwrap(), None);
        let pull = &server.pulls()[0];
        let draft = pull["draft"] == true || pull["title"] == "WIP: Mend it";
        assert!(draft, "{kind:?}: {pull:#}");
        // Who makes it again is told that it is there.
        let twice = forge.make_pull_request("team/calc", &new()).await.unwrap_err();
        assert!(matches!(twice, ForgeError::Rejected { status: 409 | 422, .. }), "{kind:?}: {twice:?}");
        // One whose answer is lost is there all the same.
        server.lose(1);
        let other = NewPullRequest { head: "journeyman/lost".to_owned(), ..new() };
        let lost = forge.make_pull_request("team/calc", &other).await.unwrap_err();
        assert!(matches!(lost, ForgeError::Unavailable(_)) && !lost.is_lasting(), "{lost:?}");
        assert!(forge.pull_request_of("team/calc", "journeyman/lost").await.unwrap().is_some());
        assert_eq!(server.pulls().len(), 2);
    }
}

#[tokio::test]
async fn a_comment_is_found_by_its_mark_among_many_and_edited() {
    for kind in KINDS {
        let server = ForgeServer::start(kind).await;
        let forge = forge(&server, kind, TOKEN);
        let thread = Thread::Issue(12);
        for number in 0..130 {
            forge.make_comment("team/calc", thread, &format!("words {number}")).await.unwrap();
        }
        assert_eq!(forge.comment_with("team/calc", thread, "<!-- mark -->").await.unwrap(), None);
        let made = forge.make_comment("team/calc", thread, "queued <!-- mark -->").await.unwrap();
        let found = forge.comment_with("team/calc", thread, "<!-- mark -->").await.unwrap();
        assert_eq!(found, Some(made.clone()), "{kind:?}");
        forge.edit_comment("team/calc", thread, made.id, "done <!-- mark -->").await.unwrap();
        assert_eq!(server.comments().len(), 131);
        assert_eq!(server.comments()[130]["body"], "done <!-- mark -->");
    }
}

#[tokio::test]
async fn a_wrong_token_and_a_forge_that_is_away_are_told_apart() {
    for kind in KINDS {
        let server = ForgeServer::start(kind).await;
        let refused = forge(&server, kind, "another").pull_request_of("team/calc", "x").await.unwrap_err();
        assert!(matches!(refused, ForgeError::Refused { status: 401, .. }), "{refused:?}");
        server.is_away_for(1);
        let away = forge(&server, kind, TOKEN).pull_request_of("team/calc", "x").await.unwrap_err();
        assert!(matches!(away, ForgeError::Unavailable(_)), "{away:?}");
        let nowhere = forge(&server, kind, TOKEN).pull_request_of("team", "x").await;
        assert!(kind == ForgeKind::Gitlab || nowhere.is_err());
        assert!(server.asked().len() >= 2);
    }
}

#[tokio::test]
async fn eyes_are_put_once_to_each_thing() {
    for kind in KINDS {
        let server = ForgeServer::start(kind).await;
        let forge = forge(&server, kind, TOKEN);
        let (issue, request) = (Thread::Issue(12), Thread::PullRequest(13));
        let all = [
            (issue, Target::Opening),
            (request, Target::Opening),
            (issue, Target::Comment(900)),
            (request, Target::Comment(901)),
            (request, Target::ReviewComment(902)),
        ];
        for (thread, target) in all.into_iter().chain(all) {
            forge.react("team/calc", thread, target).await.unwrap();
        }
        let expected = match kind {
            ForgeKind::Github => {
                ["issues/12", "issues/13", "issues/comments/900", "issues/comments/901", "pulls/comments/902"]
            }
            ForgeKind::Gitlab => [
                "issues/12",
                "merge_requests/13",
                "issues/12/notes/900",
                "merge_requests/13/notes/901",
                "merge_requests/13/notes/902",
            ],
            ForgeKind::Gitea => {
                ["issues/12", "issues/13", "issues/comments/900", "issues/comments/901", "issues/comments/902"]
            }
        };
        assert_eq!(server.reactions(), expected, "{kind:?}");
    }
}

/// A GitHub of one's own has its API below `/api/v3`, or its address is that of the API already.
#[tokio::test]
async fn what_a_host_shows_beside_its_api_is_no_answer() {
    let server = ForgeServer::start(ForgeKind::Github).await;
    server.has_beside(Beside::Pages);
    let at = || forge(&server, ForgeKind::Github, TOKEN);
    let deleted = at().edit_comment("team/calc", Thread::Issue(12), 900, "done").await.unwrap_err();
    assert!(matches!(deleted, ForgeError::Rejected { status: 404, .. }), "{deleted:?}");
    assert!(matches!(at().standing_of("team/calc", "mallory").await.unwrap(), Standing::MayNot(_)));
    assert_eq!(server.asked().len(), 4, "{:#?}", server.asked());
    // What has answered well is the API.
    let known = at();
    known.make_comment("team/calc", Thread::Issue(12), "queued").await.unwrap();
    known.standing_of("team/calc", "mallory").await.unwrap();
    assert_eq!(server.asked().len(), 6, "{:#?}", server.asked());
}

#[tokio::test]
async fn an_api_at_the_very_address_is_found() {
    let server = ForgeServer::start(ForgeKind::Github).await;
    server.has_beside(Beside::TheApi);
    let forge = forge(&server, ForgeKind::Github, TOKEN);
    let made = forge.make_comment("team/calc", Thread::Issue(12), "queued").await.unwrap();
    forge.edit_comment("team/calc", Thread::Issue(12), made.id, "done").await.unwrap();
    let asked = [
        "POST /api/v3/repos/team/calc/issues/12/comments",
        "POST /repos/team/calc/issues/12/comments",
        "PATCH /repos/team/calc/issues/comments/1",
    ];
    assert_eq!(server.asked(), asked);
    assert_eq!(server.comments()[0]["body"], "done");
}

#[test]
fn an_apis_address_follows_from_the_hosts() {
    let at = |kind, base: Option<&str>| {
        ForgeAccess::new(kind, base, Secret::new("x")).map(|access| access.api.to_string()).map_err(|e| e.to_string())
    };
    for (kind, base, api) in [
        (ForgeKind::Github, None, "https://api.github.com/"),
        (ForgeKind::Github, Some("https://github.com/"), "https://api.github.com/"),
        (ForgeKind::Github, Some("https://api.github.com"), "https://api.github.com/"),
        (ForgeKind::Github, Some("https://git.example.org"), "https://git.example.org/api/v3/"),
        (ForgeKind::Github, Some("https://git.example.org/api/v3"), "https://git.example.org/api/v3/"),
        (ForgeKind::Github, Some("https://octo.ghe.com"), "https://api.octo.ghe.com/"),
        (ForgeKind::Github, Some("https://api.octo.ghe.com"), "https://api.octo.ghe.com/"),
        (ForgeKind::Gitlab, None, "https://gitlab.com/api/v4/"),
        (ForgeKind::Gitlab, Some("https://example.org/gitlab"), "https://example.org/gitlab/api/v4/"),
        (ForgeKind::Gitea, Some("https://git.example.org/"), "https://git.example.org/api/v1/"),
        (ForgeKind::Gitea, Some("https://git.example.org/api/v1/"), "https://git.example.org/api/v1/"),
    ] {
        assert_eq!(at(kind, base), Ok(api.to_owned()), "{kind:?} {base:?}");
    }
    assert!(at(ForgeKind::Gitea, None).unwrap_err().contains("base_url"));
}
