package starters

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"
)

// about is template.yaml: what is said about a template beside its texts.
type about struct {
	Name      string     `yaml:"name"`
	Subject   string     `yaml:"subject"`
	Variables []Variable `yaml:"variables"`
}

// Files are the starter as plain files, by their names in its folder.
func (s *Starter) Files() (map[string][]byte, error) {
	head, err := yaml.MarshalWithOptions(about{s.Title, s.Subject, s.Variables}, yaml.IndentSequence(true))
	if err != nil {
		return nil, fmt.Errorf("starter %s: %w", s.Name, err)
	}
	return map[string][]byte{
		"template.yaml": head, "body.html": []byte(s.HTML), "body.txt": []byte(s.Text), "sample.json": s.Sample,
	}, nil
}

// Write writes the starter as a folder of its name into another, and returns its path.
// A folder that is there is left alone: os.ErrExist.
func (s *Starter) Write(into string) (string, error) {
	files, err := s.Files()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(into, 0o755); err != nil {
		return "", err
	}
	folder := filepath.Join(into, s.Name)
	if err := os.Mkdir(folder, 0o755); err != nil {
		return "", err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			return "", err
		}
	}
	return folder, nil
}
