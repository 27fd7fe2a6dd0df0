// Command configcheck loads a kind configuration the way kind does and says what is wrong with it.
package main

import (
	"fmt"
	"os"

	"sigs.k8s.io/kind/pkg/internal/apis/config/encoding"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "use: configcheck FILE")
		os.Exit(2)
	}
	cluster, err := encoding.Load(os.Args[1])
	if err == nil {
		err = cluster.Validate()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}
