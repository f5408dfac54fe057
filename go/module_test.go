package scrubjay_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// moduleRoot is the folder of this module.
func moduleRoot(t *testing.T) string {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// outsideModule makes a module of its own that requires this one.
func outsideModule(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.com/shop\n\ngo 1.24\n\nrequire scrubjay v0.0.0\n\nreplace scrubjay => "+moduleRoot(t)+"\n")
	write("main.go", `package main

import (
	"context"
	"fmt"
	"time"

	"scrubjay"
)

func main() {
	cache := scrubjay.NewCacheService("memory://", "shop")
	defer cache.Close()
	for range 2 {
		page, err := scrubjay.GetOrFetchFunc(context.Background(), cache, "page", time.Minute, func() (string, error) {
			fmt.Println("fetching")
			return "hello", nil
		})
		fmt.Println(page, err)
	}
}
`)
	return dir
}

// goCommand runs the go command there, with nothing set that this module would need.
func goCommand(t *testing.T, dir string, env []string, args ...string) (string, error) {
	t.Helper()
	command := exec.Command("go", args...)
	command.Dir = dir
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "CGO_") && !strings.HasPrefix(variable, "LD_") && !strings.HasPrefix(variable, "PKG_CONFIG") {
			command.Env = append(command.Env, variable)
		}
	}
	command.Env = append(command.Env, env...)
	output, err := command.CombinedOutput()
	return string(output), err
}

func TestAnOutsideModuleBuildsAndRuns(t *testing.T) {
	dir := outsideModule(t)
	for _, args := range [][]string{{"build", "-o", "shop", "."}, {"vet", "."}} {
		if output, err := goCommand(t, dir, nil, args...); err != nil {
			t.Fatalf("go %v: %v\n%s", args, err, output)
		}
	}
	output, err := exec.Command(filepath.Join(dir, "shop")).CombinedOutput()
	if want := "fetching\nhello <nil>\nhello <nil>\n"; err != nil || string(output) != want {
		t.Fatalf("%v\n%s", err, output)
	}
}

func TestAVendoredModuleBuilds(t *testing.T) {
	dir := outsideModule(t)
	for _, args := range [][]string{{"mod", "vendor"}, {"build", "-mod=vendor", "-o", "shop", "."}} {
		if output, err := goCommand(t, dir, nil, args...); err != nil {
			t.Fatalf("go %v: %v\n%s", args, err, output)
		}
	}
}

func TestWithoutCgoTheBuildSaysWhatToDo(t *testing.T) {
	output, err := goCommand(t, outsideModule(t), []string{"CGO_ENABLED=0"}, "build", "-o", "shop", ".")
	if err == nil || !strings.Contains(output, "Scrubjay needs cgo: build with CGO_ENABLED=1 and a C compiler") {
		t.Fatalf("%v\n%s", err, output)
	}
	if strings.Contains(output, "undefined:") {
		t.Fatalf("the sentence is buried:\n%s", output)
	}
}

func TestOnOtherPlatformsTheBuildSaysWhatToDo(t *testing.T) {
	// Type checking is enough, and needs no compiler of that platform.
	output, err := goCommand(t, moduleRoot(t), []string{"GOOS=darwin", "GOARCH=arm64", "CGO_ENABLED=1"}, "vet", "./internal/platform")
	if err == nil || !strings.Contains(output, "linux/amd64 with glibc only") {
		t.Fatalf("%v\n%s", err, output)
	}
}

func TestTheHeaderIsTheLibrarys(t *testing.T) {
	repository := filepath.Join(moduleRoot(t), "..", "bindings-c", "include", "scrubjay.h")
	if _, err := os.Stat(filepath.Dir(filepath.Dir(repository))); os.IsNotExist(err) {
		// The module outside the repository has no other copy to differ from.
		return
	}
	original, err := os.ReadFile(repository)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := os.ReadFile("scrubjay.h")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(original, ours) {
		t.Fatal("go/scrubjay.h differs from bindings-c/include/scrubjay.h: copy it with go/tools/lib.sh")
	}
}
