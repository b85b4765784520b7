package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/exchange/sqldb"
)

// tokenActions are what onewindow token does.
func tokenActions() []action {
	return []action{
		{name: "issue", arguments: "NAME", summary: "make a token and print it, once", least: 1, most: 1, flags: []string{"config", "role", "department"}},
		{name: "revoke", arguments: "NAME", summary: "revoke every token of a name", least: 1, most: 1, flags: []string{"config"}},
	}
}

// tokenCommand issues and revokes tokens in the state database, whether or not
// the hub runs: who can open that database is the administrator.
func tokenCommand(ctx context.Context, args []string, out *os.File) (err error) {
	flags := newFlags("token", "issue and revoke access tokens")
	config := flags.String("config", "", "configuration file of the hub")
	role := flags.String("role", "", "administrator, department, clerk or analyst")
	department := flags.String("department", "", "code of the department, for the role department")
	chosen, rest, err := parseAction(flags, tokenActions(), args)
	if err != nil {
		return err
	}
	cfg := defaultConfig()
	if *config != "" {
		if cfg, err = loadConfig(*config); err != nil {
			return err
		}
	}
	if cfg.Database == embedded {
		// Opening would make an empty database in the wrong folder.
		if _, err := os.Stat(filepath.Join(cfg.Data, "state.db")); err != nil {
			return wrong(err, "cli.NO_STATE", "folder", cfg.Data)
		}
	}
	db, err := sqldb.Open(ctx, cfg.databaseURL())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tokens, err := access.NewTokens(ctx, db)
	if err != nil {
		return err
	}
	if chosen.name == "revoke" {
		err := tokens.Revoke(ctx, rest[0])
		if errors.Is(err, access.ErrNotFound) {
			return wrong(err, "cli.TOKEN_NAME", "name", rest[0])
		}
		return err
	}
	token, err := tokens.Issue(ctx, access.Identity{Name: rest[0], Role: access.Role(*role), Department: *department})
	if errors.Is(err, access.ErrIdentity) {
		return wrongUsage(err, "cli.TOKEN_IDENTITY")
	}
	if err == nil {
		fmt.Fprintln(out, token)
	}
	return err
}
