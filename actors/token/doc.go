// Package token keeps the .env file: the single source of truth for the access
// token and the credentials behind it.
//
// It promises that every value that a writer completes is seen (within a few
// milliseconds where the kernel reports changes, within about a second where
// it does not), that no value which a writer did not complete is ever
// announced, that a rewrite of the same value is no news, and that writing one
// key loses nothing else in the file.
//
// Its parts: package dotenv, the lexer and editor that keep every byte; [Store], which
// numbers the values (generations), remembers what was adopted and refused,
// and writes; and the watcher, the actor "token" ([New]).
//
// # The file
//
// UTF-8, with or without a byte order mark, lines ending in LF or CRLF. A line
// is blank, a comment (#), or KEY=value:
//
//   - An optional "export " before the key; the key is [A-Za-z_][A-Za-z0-9_]*;
//     blanks round = are tolerated.
//   - An unquoted value is trimmed; a comment begins at a # that follows a
//     blank ("a#b" is a value).
//   - '...' is literal. In "..." the escapes are \n \r \t \" \\; any other
//     backslash stands for itself. After the closing quote only blanks and a
//     comment may follow.
//   - Nothing is ever expanded or executed: $ and ` stand for themselves.
//   - The last of several lines with the same key wins, with a warning.
//   - A quoted value may span lines, but not for the keys named below.
//   - A line that fits none of this is skipped with a warning, unless it is
//     the last word on one of the keys below: then the file is refused and
//     what was known before stays.
//
// The keys of a session: ZERODHA_API_KEY, ZERODHA_API_SECRET, ZERODHA_ACCESS_TOKEN,
// REDIRECT_URL. Further ones are read by others from the [Store] (ADMIN_TOKEN,
// ZERODHA_USER_ID: package tree; NTFY_URL and so on: package reminder). The file wins over the process environment for every key that
// it holds; the environment serves for keys that it lacks.
//
// # When a value is announced
//
// The file is read under a read lease (Linux), so that no writer is at work
// while it is read; where leases are not to be had, two readings
// 25 ms apart must be the same; where a writer keeps the file open, the same for 250 ms. Then
// the content must make sense: the lines of the API key, the secret and the
// token end in a newline (a truncated value is valid syntax, only the newline
// shows that it is whole), the API key is there (in the file or the environment), and the token
// is made of letters, digits and - . _ ~ + / = only. A token that is not 32
// characters long is announced with a warning: 32 is what Kite has always
// sent, not what it promises. Once a token was known, a file without one is
// refused. A refusal is published when it still holds 20 ms later, because
// many writers open the file a second time.
//
// # Limits
//
// A change that is overwritten before it could be read (a few milliseconds) is
// not seen: the newer one is. On network file systems, FUSE, and below an
// overlay the kernel reports nothing and the poll (250 ms) sees it. A file
// that is itself a bind mount shows nobody a rename made outside: mount the
// directory instead; this is warned about. Foreign writers do not take our
// lock: a write of the store checks before and after, but a foreign writer that
// read before and writes after can still undo it.
package token
