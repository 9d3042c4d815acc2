package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/authledger/authledger/api/demo"
	"github.com/authledger/authledger/domain"
)

// eraser destroys the keys of an erasure and searches every file of the data
// directory for texts they had sealed.
func (s *stores) eraser(dir string) demo.Erase {
	return func(ctx context.Context, e domain.PersonalDataErased, traces []string) (domain.CertifyErasure, error) {
		c := domain.CertifyErasure{
			ErasureID: e.ErasureID, SubjectRef: e.SubjectRef, Also: e.Also, KeyID: e.KeyID,
			Method: "data keys overwritten and the key store's log emptied; every file searched for what they had sealed",
		}
		for _, subject := range append([]string{e.SubjectRef}, e.Also...) {
			if err := s.keys.Destroy(ctx, subject); err != nil {
				return c, err
			}
		}
		c.DestroyedAt = s.journal.Now()
		if err := s.views.Scrub(ctx); err != nil {
			return c, err
		}
		return c, search(dir, traces, &c)
	}
}

// search counts the traces in all files of a directory.
func search(dir string, traces []string, c *domain.CertifyErasure) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		c.Files, c.Bytes = c.Files+1, c.Bytes+int64(len(content))
		for _, trace := range traces {
			c.Findings += bytes.Count(content, []byte(trace))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("search %s for traces: %w", dir, err)
	}
	return nil
}
