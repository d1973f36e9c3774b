### Every text a person reads, in English. One block per page, in the order in which people meet them.
###
### Voice: sentence case; "sign in", "sign out". An error says what happened, why if that is safe, and what
### to do, in at most 20 words, without blame. A test fails if a key is missing.
### Numbers ($seconds, $minutes, $hours, $count, $min, $max) are passed as numbers, so that plurals work.

## Frame: document titles, development ribbon

# $task is the page's heading, $place the app or the brand.
document-title = { $task } – { $place }
# Document title after a failed post. $title is the complete document title.
document-title-error = Error: { $title }
dev-ribbon = Development mode
dev-mailbox = Mailbox
dev-clock = Clock
# $offset is a length of time such as "1 d 2 h 5 min". A link to the way back follows.
dev-clock-moved = Clock moved by { $offset }
dev-clock-move-back = Move it back

## Shared by several pages

email-label = E-mail
name-label = Full name
password-label = Password
password-confirm-label = Confirm password
password-show = Show password
copy = Copy
copied = Copied
action-sign-in = Sign in
action-sign-out = Sign out
action-account = Go to your account
action-register = Create an account
action-start-again = Start again
action-try-again = Try again
action-home = Go to the start page
action-back-to-app = Back to { $app }
action-continue-to-app = Continue to { $app }
action-switch-account = Use another account

## Sign-in

login-title = Sign in
login-to = to continue to { $app }
login-confirm-identity = Please confirm it’s you
login-as = Signed in as
login-submit = Sign in
# $minutes is how long a session may be unused.
login-session-ended =
    You are signed out. That happens after { $minutes ->
        [one] one minute
       *[other] { $minutes } minutes
    } without activity, after { $hours ->
        [one] one hour
       *[other] { $hours } hours
    } in any case, and when your account changes.
login-no-account = New here?
login-resend = Send the mail again
login-wrong = That e-mail or password is not right. Check both and try again.
login-closed = Too many tries. Ask the people who run { $brand } to unlock the account.
login-throttled =
    { $minutes ->
        [one] Too many tries. Wait one minute, then try again.
       *[other] Too many tries. Wait { $minutes } minutes, then try again.
    }
login-unactivated = This account is not active yet. Open the link in the activation mail, or have it sent again.
login-unactivated-closed = This account is not active yet, and registration is closed by now. Ask the people who run { $brand } for an account.
login-changed = Your account was changed at this moment. Sign in again.
login-deactivated = This account is switched off. Ask the people who run { $brand } to switch it on.

## Registration

register-title = Create an account
register-to = to continue to { $app }
# $min is 8 or more.
register-password-hint = At least { $min } characters. Three or four words make a good password.
register-submit = Create account
register-have-account = Already have an account?
register-closed-title = Registration is closed
register-closed-text = New accounts are made by the people who run { $brand }. Ask them for one.
register-closed-have-account = If you have an account, you can sign in.

## Validation of typed values

email-missing = Enter your e-mail address.
email-invalid = Enter an e-mail address like name@example.com.
name-missing = Enter your name.
name-too-long = Use at most { $max } characters for your name.
name-unreadable = Your name contains a character that cannot be seen ({ $code }). Type the name again.
password-missing = Enter a password.
password-too-short = Use at least { $min } characters for the password. Three or four words make a good one.
password-too-long = Use at most { $max } characters for the password.
password-mismatch = The two passwords differ. Type the same password in both fields.
password-confirm-missing = Type the password again to confirm it.
# $reason is one of the sentences below.
password-weak = Choose a stronger password. { $reason } Three or four unrelated words work well.
password-reason-top-10 = This is one of the ten most used.
password-reason-top-100 = This is among the hundred most used.
password-reason-common = This is a very common one.
password-reason-similar-to-common = This is close to a very common one.
password-reason-names = Names alone are easy to guess.
password-reason-dates = Dates are easy to guess.
password-reason-years = Recent years are easy to guess.
password-reason-straight-row = Keys in a row are easy to guess.
password-reason-keyboard-pattern = Short keyboard patterns are easy to guess.
password-reason-repeated-char = Repeats like “aaa” are easy to guess.
password-reason-repeated-pattern = Repeats like “abcabc” are easy to guess.
password-reason-sequence = Sequences like “abcd” are easy to guess.
password-reason-word-by-itself = One word by itself is easy to guess.
password-reason-contains-your-data = This contains your name or address.
password-reason-generic = This one is easy to guess.

## Check your mail

check-mail-title = Check your mail
check-mail-sent = We sent a mail to
check-mail-what =
    { $hours ->
        [0] Open the link in it to activate your account. The link works for less than an hour.
        [one] Open the link in it to activate your account. The link works for one hour.
       *[other] Open the link in it to activate your account. The link works for { $hours } hours.
    }
check-mail-change = Change address
check-mail-dev = Open the mailbox
check-mail-code-label = Code from the mail
check-mail-code-hint = 8 characters. Upper or lower case does not matter.
check-mail-code-submit = Activate with the code
check-mail-nothing = Nothing there yet?
check-mail-junk = Look in the junk folder too. Mail can take a few minutes.
check-mail-resend = Send the mail again
# $time is minutes and seconds, like 0:42.
check-mail-wait = You can ask for another mail in { $time }.
check-mail-ready = You can ask for another mail now.
code-missing = Enter the code from the mail.
code-wrong = That code is not right. Check it against the newest mail.
code-too-many-tries = Too many wrong codes. Send the mail again and use the new code.
mail-limit =
    { $minutes ->
        [one] Several mails were sent already. Look in the junk folder, or wait one minute.
       *[other] Several mails were sent already. Look in the junk folder, or wait { $minutes } minutes.
    }
mail-wait =
    { $seconds ->
        [one] A mail was just sent. Wait one second, then ask for another.
       *[other] A mail was just sent. Wait { $seconds } seconds, then ask for another.
    }

## Activation

activate-title = Activate your account
activate-for = This activates the account of
activate-submit = Activate account
activate-password-why = The registration was made in another browser, or this one was closed since. Enter the password you chose, to show that it was you.
activate-wrong = That is not the password of this registration. If you registered more than once, open the newest mail. If this is the newest one, somebody else may have registered this address. Then create your account again below.
activate-not-yours = Not you? Then somebody else typed your address, and nothing happens. You can still use the address yourself:
activated-title = Your account is active
activated-text = Everything is ready. You can sign in with your e-mail address and password.
activated-text-signed-in = Everything is ready.
activated-text-other = In this browser you are still signed in with another account, { $email }.
activated-text-app = Everything is ready. You can go on to { $app } now.
link-expired-title = This link has expired
link-expired-text = Activation links work for 24 hours. We can send you a new one.
link-expired-text-register = Activation links work for 24 hours. Create the account again to get a new one.
link-expired-text-closed = Activation links work for 24 hours. Ask the people who run { $brand } for help.
link-expired-resend = Send a new link
link-used-title = Already active
link-used-text = This address has an account by now, so there is nothing left to do. Sign in with its password.
link-used-text-signed-in = This address has an account by now, so there is nothing left to do.
link-unknown-title = This link does not work
link-unknown-text = It may be cut off, or too old. Open the newest mail, or sign in.
link-unknown-text-signed-in = It may be cut off, or too old. If you still need it, open the newest mail.

## Notices: shown on the page that follows a success

signed-in = You are signed in.
account-activated = Your account is active. You can sign in now.
other-account-activated = The new account is active. In this browser you are still signed in with the one below.
mail-sent = The mail is on its way.

## Consent

consent-title = Allow access?
consent-wants = wants to:
consent-scope-openid = Know who you are by an identifier of your account
consent-scope-profile = See your name
consent-scope-email = See your e-mail address
consent-scope-offline-access = Keep this access while you are not using the app
# For a scope without a text of its own. $scope is its name.
consent-scope-other = Use the permission “{ $scope }”
consent-data = See what would be shared
consent-data-openid = Identifier
consent-data-profile = Name
consent-data-email = E-mail address
# Shown above the buttons. $host is where the answer goes.
consent-unverified = Unverified app: { $brand } has not checked who runs it. Allow only if you know { $host }.
consent-account = Signed in as
consent-remembered = If you allow this, it is remembered, and you are not asked for the same again.
consent-redirect = Either way, you return to
consent-allow = Allow
consent-deny = Deny

## On the way back to an app

onward-title = Taking you back to { $app }…
onward-text = You are being redirected. If nothing happens, use the button.

# Shown on an old page of a sign-in that is finished.
signed-in-at-title = You are signed in at { $app }
signed-in-at-text = You can close this page.

## Sign-out

sign-out-title = Sign out of { $brand }?
sign-out-text = You are signed in as
sign-out-submit = Sign out
sign-out-stay = Stay signed in
# What is wrong with a sign-out request. Shown when the person is asked to confirm it.
sign-out-uri = The app asked to return to an address that is not registered for it. You will not be sent there.
sign-out-unknown-client = The app that asks for this is not known here or is switched off. You will not be sent back to it.
sign-out-no-client = The app did not say who it is. You will not be sent back to it.
sign-out-bad-hint = The app asked to sign you out, but its proof of your sign-in is not valid. You decide whether to sign out.
sign-out-hint-client = The app asked to sign you out, but its proof of your sign-in belongs to another app. You decide whether to sign out.
sign-out-hint-session = The app asked to end a different sign-in, not this one. You decide whether to sign out of this one.
signed-out-title = You are signed out
signed-out-text = You can close this page now.
signed-out-again = Sign in again

## Account page

account-title = Hello, { $name }
account-name = Name
account-email = E-mail
account-since = Signed in since

## Error pages: the frame

error-kind-yours = You can fix this
error-kind-app = The app made a mistake
error-kind-ours = The mistake is ours
error-details = Details for support
error-asked-client = Client identifier sent by the app
error-reference = Reference
error-time = Time
error-reason = Reason
error-dev-title = For developers
error-dev-text = Shown in development mode only.
error-dev-sent = Sent
error-dev-registered = Registered
error-dev-none = nothing
# Next to the name of the parameter that caused the refusal.
error-dev-differs = differs
error-dev-fix = Command that fixes it

## Error pages: one heading and one text per reason

error-csrf-failed-title = Please try that again
error-csrf-failed = You signed in or out elsewhere meanwhile, or the form is not from here. Open the page again.
error-flow-expired-title = This page does not work any more
error-flow-expired = It was open too long, it belongs to another browser, or this one was closed since. Start again.
error-flow-expired-app-title = This page was open too long
error-flow-expired-app = For your safety it stopped working. Start again from { $app }.
error-flow-changed-title = { $app } has changed
error-flow-changed = The settings of { $app } were changed while this page was open. Start again from there.
error-flow-closed-title = This page is out of date
error-flow-closed = The answer was sent to { $app }. Continue there, or start again from there.
error-flow-answered-title = This page is out of date
error-flow-answered = This request is already complete. Continue from the start page.
error-flow-foreign-title = Sign-in cannot continue here
error-flow-foreign = It began in another browser, or this one was closed since. Start again. If that leads back to this page, allow cookies for { $domain }.
error-cookies-blocked-title = Cookies are blocked
error-cookies-blocked = Your browser blocks cookies for { $domain }, and sign-in needs one. Allow it, then try again.
error-too-many-requests-title = Too many requests
error-too-many-requests =
    { $seconds ->
        [one] Many requests came from your network. Wait one second, then try again.
       *[other] Many requests came from your network. Wait { $seconds } seconds, then try again.
    }
error-unavailable-title = Please try again shortly
error-unavailable = We are too busy or under maintenance. Try again in a minute.
error-internal-error-title = Something went wrong
error-internal-error = We could not finish this and have noted it. Try again, or give support the reference below.
error-not-found-title = Page not found
error-not-found = There is nothing at this address. Check it, or go to the start page.
error-method-not-allowed-title = This page cannot be used that way
error-method-not-allowed = The request used a method this address does not know. Go to the start page.
error-too-large-title = That was too large
error-too-large = More was sent than this page accepts. Shorten it, then try again.
error-unsupported-type-title = This format is not supported
error-unsupported-type = The request came in a format this page does not read. Use the form on the page.
error-unsupported-coding-title = This format is not supported
error-unsupported-coding = The request came compressed, and this page does not unpack it. Use the form on the page.
error-unsupported-transfer-coding-title = We could not read that request
error-unsupported-transfer-coding = Your request arrived in a transfer coding that this page does not read. Try again, or use another browser or network.
error-bad-request-title = We could not read that request
error-bad-request = Part of it is missing or not valid. Go back and try again.
error-too-slow-title = That took too long
error-too-slow = Your request took too long to arrive. Try again.
error-misdirected-title = This address is not ours
error-misdirected = You asked for { $asked }, and this is { $domain }. Check the address, or go to the start page.
error-misdirected-dot-title = This address ends in a dot
error-misdirected-dot = You asked for { $asked }, and this is { $domain }, without a dot at the end. Go to the start page.
error-bad-host-title = We could not read that request
error-bad-host = It does not say clearly which site it is for. Go to { $domain }. If that does not help, tell whoever runs this site.
error-registration-closed-title = Registration is closed
error-registration-closed = New accounts are made by the people who run { $brand }. Ask them for one.
error-registration-used-title = Already active
error-registration-used = This address has an account by now, so there is nothing left to do here.
error-registration-expired-title = This registration has expired
error-registration-expired = It was not confirmed in time. Create the account again to get a new mail.

# Authorization requests that must not be answered with a redirect to an app.
error-client-missing-title = The app did not say who it is
error-client-missing = Its request carries no client identifier. Tell the people who run the app.
error-client-unknown-title = This app cannot be used here
error-client-unknown = It is not registered with { $brand }, or is switched off. Tell the people who run the app.
error-redirect-uri-missing-title = The app gave no return address
error-redirect-uri-missing = Without one you could not get back to it. Tell the people who run the app.
error-redirect-uri-mismatch-title = The return address does not match
error-redirect-uri-mismatch = The app asked to return to an unregistered address. You were not sent there. Tell whoever runs it.
error-app-request-title = The app’s request could not be read
error-app-request = It is malformed, too long or sent in the wrong way. Tell the people who run the app.
error-parameter-repeated-title = The app’s request is ambiguous
error-parameter-repeated = It gives one value twice, so it was refused. Tell the people who run the app.

# After sign-out: why the person is not sent on. Shown below "You are signed out".
error-post-logout-redirect-uri-title = The return address does not match
error-post-logout-redirect-uri = The app asked to return to an address that is not registered for it. You were not sent there.
error-id-token-hint-missing-title = The app did not say who it is
error-id-token-hint-missing = So its return address could not be checked, and you were not sent there. Tell whoever runs the app.
error-id-token-hint-invalid-title = The app’s proof is not valid
error-id-token-hint-invalid = It is not a proof of sign-in from here, or was altered. You were not sent back. Tell whoever runs the app.
error-id-token-hint-client-title = The app’s request contradicts itself
error-id-token-hint-client = Its proof belongs to a different app than the one it names. You were not sent back. Tell whoever runs the app.

## Development pages: mailbox and clock

dev-mailbox-title = Mailbox
dev-mailbox-text = Every mail this server sends lands here. Nothing leaves this computer.
dev-mailbox-empty = No mail yet. Create an account and the activation mail appears here.
dev-mailbox-to = To
dev-mailbox-open-link = Open the link
dev-message-from = From
dev-message-to = To
dev-message-at = Sent
dev-message-html = Open the HTML version
dev-message-back = All mail
dev-clock-title = Clock
dev-clock-text = Moves the time this server believes in, to try expiry, sessions and lock-outs.
dev-clock-now = Server time
dev-clock-offset = Moved by
dev-clock-advance = Move forward
dev-clock-5-minutes = 5 minutes
dev-clock-1-hour = 1 hour
dev-clock-1-day = 1 day
dev-clock-31-days = 31 days
dev-clock-real = Back to real time

## Mails: shared by all mails

mail-hello = Hello { $name },
mail-hello-nobody = Hello,
mail-sent-at = Sent by { $brand } on { $at }.
mail-button-fallback = If the button does not work, copy this address into your browser:

## Mail: activate the account

mail-activation-subject = Activate your account
mail-activation-intro = Someone, most likely you, created an account at { $brand } with this e-mail address.
mail-activation-do = To activate it, open this link and press the button on the page:
mail-activation-do-html = To activate it, open the page and press the button there.
mail-activation-button = Activate account
mail-activation-code = Or type this code on the page where you registered:
mail-activation-lifetime =
    { $hours ->
        [one] Link and code work once, within one hour. The link leads to { $host }.
       *[other] Link and code work once, within { $hours } hours. The link leads to { $host }.
    }
mail-activation-not-you = Not you? Then do nothing. Unless you activate it, no account is created.

## Mail: the address already has an account

mail-already-registered-subject = You already have an account
mail-already-registered-intro = Someone, most likely you, tried to create an account at { $brand } with this e-mail address.
mail-already-registered-text = It already has an account, so nothing was created and nothing has changed. You can sign in:
mail-already-registered-button = Sign in
mail-already-registered-lifetime = This link does not expire. It opens the ordinary sign-in page.
mail-already-registered-not-you = Not you? Then do nothing. Whoever tried has learned nothing about your account.

## Mail: the account is locked for a while

mail-locked-subject = Your account is locked for a while
mail-locked-intro = Too many wrong passwords were entered for your account at { $brand }.
mail-locked-text =
    { $minutes ->
        [one] It is locked for one minute and opens again by itself.
       *[other] It is locked for { $minutes } minutes and opens again by itself.
    }
mail-locked-you = If it was you, wait, then sign in with the right password.
mail-locked-not-you = Not you? Then do nothing. The attempts failed, and your account stays as it is.
mail-locked-once = We tell you once, even if more tries follow.
mail-locked-for-good-subject = Your account is locked
mail-locked-for-good-text = It stays locked until it is unlocked by hand.
mail-locked-for-good-what = In a browser where you have signed in before, you can still sign in. For all others, ask the people who run { $brand } to unlock it.
mail-locked-for-good-not-you = The attempts failed, and your account stays as it is.

## Mail: welcome

mail-welcome-subject = Your account is active
mail-welcome-intro = Your account at { $brand } is active. Good to have you.
mail-welcome-text = From now on you can sign in with your e-mail address and your password:
mail-welcome-button = Sign in
mail-welcome-lifetime = This link does not expire. It opens the ordinary sign-in page.
mail-welcome-not-you = You get this mail because the account was just activated. There is nothing you have to do.
