package main

import "testing"

func TestREADME_Tables(t *testing.T) {
	dirs, err := moduleDirs()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		got, want, err := readme(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("The tables of %s/README.md are not those of the module's files. make generate writes them. It should be:\n%s", dir, want)
		}
	}
}
