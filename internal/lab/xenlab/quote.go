package xenlab

import "strings"

// plain characters mean themselves to a shell anywhere in a word.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,+@%"

// quote returns argv as one line that a shell splits in to the same argv
// again. sshd hands what it gets to a shell, and there is no other way.
func quote(argv ...string) string {
	words := make([]string, len(argv))
	for i, word := range argv {
		if word != "" && strings.Trim(word, plain) == "" {
			words[i] = word
			continue
		}
		words[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return strings.Join(words, " ")
}
