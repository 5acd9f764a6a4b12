package token_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"kitestring/actors/token"
	"kitestring/messages"
)

// A login writes its token into the file; everything else in it stays as it
// was. A running watcher ([token.New]) announces the new value like any other
// writer's.
func ExampleStore_SetToken() {
	dir, err := os.MkdirTemp("", "kitestring")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, ".env")
	text := "# my app\nexport ZERODHA_API_KEY='kitekey'\nZERODHA_ACCESS_TOKEN=yesterdaysyesterdaysyesterdays00\nOTHER=kept\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		log.Fatal(err)
	}

	store, err := token.Open(token.StoreConfig{Path: path})
	if err != nil {
		log.Fatal(err)
	}
	today := messages.NewAccessToken("todaystodaystodaystodaystodays00")
	if err := store.SetToken(context.Background(), today); err != nil {
		log.Fatal(err)
	}

	written, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(written))
	fmt.Println("shown as", today)
	// Output:
	// # my app
	// export ZERODHA_API_KEY='kitekey'
	// ZERODHA_ACCESS_TOKEN=todaystodaystodaystodaystodays00
	// OTHER=kept
	// shown as [redacted 2c960fcc]
}
