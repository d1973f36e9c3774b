//! Passphrases that are easy to read and type.

use idp_core::secret::{Secret, random_bytes};

/// Five random words: 40 bits, which is enough with a lock-out.
pub(crate) fn random() -> Secret {
    let words = random_bytes::<5>().map(|byte| WORDS[usize::from(byte)]);
    Secret::new(words.join("-"))
}

#[rustfmt::skip]
const WORDS: [&str; 256] = [
    "acorn", "alder", "almond", "amber", "anchor", "antler", "apple", "apron", "arbor", "arrow", "aspen", "atlas",
    "attic", "autumn", "bacon", "badge", "bamboo", "banjo", "barley", "barrel", "basil", "basket", "beacon", "beaver",
    "beetle", "berry", "birch", "bishop", "bison", "blanket", "bonfire", "bottle", "branch", "brass", "bread", "bridge",
    "broom", "bucket", "buffalo", "button", "cabin", "cactus", "camel", "candle", "canoe", "canyon", "carbon", "carpet",
    "castle", "cedar", "cellar", "cherry", "chisel", "cider", "cinema", "citrus", "clover", "coast", "cobalt", "coffee",
    "comet", "copper", "coral", "cotton", "cradle", "crayon", "cricket", "crystal", "curtain", "daisy", "dancer", "delta",
    "desert", "diamond", "dinner", "dolphin", "donkey", "dragon", "drawer", "drum", "eagle", "easel", "echo", "elbow",
    "ember", "emerald", "engine", "falcon", "feather", "fiddle", "finch", "flame", "flute", "forest", "fossil", "fountain",
    "fox", "garden", "garlic", "gate", "ginger", "glacier", "globe", "goose", "grain", "granite", "grape", "gravel",
    "guitar", "hammer", "harbor", "harvest", "hazel", "hedge", "helmet", "heron", "honey", "horizon", "icicle", "indigo",
    "island", "ivory", "jacket", "jaguar", "jasmine", "jungle", "juniper", "kayak", "kernel", "kettle", "kitchen", "kite",
    "ladder", "lagoon", "lantern", "lava", "lemon", "lentil", "lilac", "linen", "lion", "lizard", "lobster", "lotus",
    "magnet", "mango", "maple", "marble", "market", "meadow", "melon", "meteor", "mirror", "mitten", "monkey", "moss",
    "mountain", "muffin", "mustard", "napkin", "nectar", "needle", "nutmeg", "oasis", "oat", "ocean", "olive", "onion",
    "orange", "orbit", "orchard", "otter", "oven", "oyster", "paddle", "palace", "panda", "paper", "parrot", "pebble",
    "pencil", "pepper", "piano", "pigeon", "pillow", "pine", "planet", "plum", "pocket", "pollen", "poppy", "potato",
    "prairie", "puzzle", "quarry", "quartz", "quill", "rabbit", "radish", "raven", "ribbon", "river", "rocket", "rose",
    "saddle", "saffron", "salmon", "sandal", "sapphire", "scarf", "season", "shadow", "shell", "silver", "spider", "spruce",
    "squash", "stable", "statue", "summer", "sunset", "swan", "tailor", "tea", "temple", "thimble", "thunder", "tiger",
    "timber", "tinker", "toast", "tomato", "trumpet", "tulip", "tunnel", "turtle", "umbrella", "valley", "vanilla", "velvet",
    "violet", "violin", "walnut", "walrus", "wander", "water", "whale", "wheat", "whistle", "willow", "window", "winter",
    "wool", "yellow", "zebra", "zipper",
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use idp_core::account::password::PasswordPolicy;

    use super::*;

    #[test]
    fn every_word_is_there_once() {
        assert_eq!(WORDS.iter().collect::<HashSet<_>>().len(), WORDS.len());
    }

    #[test]
    fn what_is_made_is_good_enough_for_the_policy() {
        for _ in 0..50 {
            let password = random();
            assert_eq!(PasswordPolicy::new(15, "idp").check(password.expose(), &["Admin"]), Ok(()));
        }
    }
}
