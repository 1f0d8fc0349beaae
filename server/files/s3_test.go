package files_test

import (
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"remit/server/files"
	"remit/server/files/filestest"
)

// An S3 store behaves as a local one. It is not parallel: the S3 client takes
// its credentials from the environment.
func TestS3(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	filestest.Run(t, func(t *testing.T) *files.Store {
		backend := s3mem.New()
		if err := backend.CreateBucket("exports"); err != nil {
			t.Fatal(err)
		}
		fake := httptest.NewServer(gofakes3.New(backend).Server())
		t.Cleanup(fake.Close)
		q := url.Values{"endpoint": {fake.URL}, "region": {"us-east-1"}, "use_path_style": {"true"}, "prefix": {"remit/"}}
		return open(t, "s3://exports?"+q.Encode())
	})
}
