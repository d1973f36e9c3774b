//! Every page and mail is rendered once, so that no variable and no word can be missing.
