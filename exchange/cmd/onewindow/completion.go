package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// completeWord, as the only argument of a command, lists the command's flags.
// Every command parses its arguments before it does anything, so nothing else
// happens.
const completeWord = "__flags"

// completionScripts ask the program itself, so that they never grow old.
func completionScripts() map[string]string {
	return map[string]string{
		"bash": `_onewindow() {
  mapfile -t COMPREPLY < <(compgen -W "$(onewindow completion words "${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}")
}
complete -o default -F _onewindow onewindow
`,
		"zsh": `#compdef onewindow
_onewindow() {
  local -a found
  found=(${(f)"$(onewindow completion words ${words[2,CURRENT-1]} 2>/dev/null)"})
  compadd -a found || _files
}
compdef _onewindow onewindow
`,
		"fish": `complete -c onewindow -a '(onewindow completion words (commandline -opc)[2..] 2>/dev/null)'
`,
	}
}

// completionCommand prints a script for a shell, or, for those scripts, the
// words that may follow.
func completionCommand(ctx context.Context, args []string, out *os.File) error {
	if len(args) > 0 && args[0] == "words" {
		return completeWords(ctx, args[1:], out)
	}
	rest, err := parseAnywhere(newFlags("completion", "print a completion script: onewindow completion bash | zsh | fish"), args)
	if err != nil {
		return err
	}
	if len(rest) == 1 {
		if script, ok := completionScripts()[rest[0]]; ok {
			_, err := io.WriteString(out, script)
			return err
		}
	}
	return wrongUsage(nil, "cli.COMPLETION_SHELL")
}

// completeWords prints the commands, or the actions and flags of the command
// that before names.
func completeWords(ctx context.Context, before []string, out *os.File) error {
	if len(before) == 0 {
		for _, c := range commands() {
			fmt.Fprintln(out, c.name)
		}
		return nil
	}
	i := slices.IndexFunc(commands(), func(c command) bool { return c.name == before[0] })
	if i < 0 {
		return nil
	}
	c := commands()[i]
	if !slices.ContainsFunc(before[1:], func(word string) bool { return !strings.HasPrefix(word, "-") }) {
		for _, a := range c.actions {
			fmt.Fprintln(out, a.name)
		}
	}
	return c.run(ctx, []string{completeWord}, out)
}
