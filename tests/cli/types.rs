//! `harness types`: what an editor is given.

use crate::support::Folder;

const META: &str = include_str!("../../lua/meta/harness.lua");

#[test]
fn types_lie_where_language_servers_look() {
    let folder = Folder::new();
    let ran = folder.run(&["types"]);
    let said = "wrote ./.harness/types/harness.lua\nwrote ./.luarc.json\nwrote ./.emmyrc.json\n";
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), said, ""));
    assert_eq!(folder.read(".harness/types/harness.lua"), META);
    for settings in [".luarc.json", ".emmyrc.json"] {
        let settings: serde_json::Value = serde_json::from_str(&folder.read(settings)).unwrap();
        assert!(settings.to_string().contains(".harness/types"), "{settings}");
    }
}

#[test]
fn settings_of_the_author_stay_and_types_are_renewed() {
    let folder = Folder::new();
    folder.write("campaigns/.luarc.json", "{}");
    folder.write("campaigns/.emmyrc.json", r#"{ "workspace": { "library": [".harness/types"] } }"#);
    folder.write("campaigns/.harness/types/harness.lua", "-- an older version\n");
    let ran = folder.run(&["types", "campaigns"]);
    let said = "wrote campaigns/.harness/types/harness.lua\nkept campaigns/.luarc.json: add \".harness/types\" to the \
                workspace's \"library\" in it\nkept campaigns/.emmyrc.json\n";
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), said), "{ran:?}");
    assert_eq!(folder.read("campaigns/.harness/types/harness.lua"), META);
    assert_eq!(folder.read("campaigns/.luarc.json"), "{}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = Folder::new();
    folder.write("file", "");
    let ran = folder.run(&["types", "file"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(73), ""), "{ran:?}");
    let begins = "harness: types: cannot write file/.harness/types/harness.lua: ";
    assert!(ran.stderr.starts_with(begins) && ran.stderr.contains("`harness types FOLDER`"), "{ran:?}");
}

#[test]
fn a_folder_that_is_not_there_is_not_made() {
    let folder = Folder::new();
    let ran = folder.run(&["types", "none/x"]);
    let text = "harness: types: there is no folder none/x: name the one your campaigns are in: `harness types FOLDER`\n";
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(2), "", text));
    assert!(!folder.path("none").exists());
}
