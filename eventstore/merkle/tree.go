package merkle

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/authledger/authledger/eventstore"
)

// TileHeight is the height of tiles, C2SP tlog-tiles: a full one holds 256
// hashes of 32 bytes.
const TileHeight = 8

// TileSize is a full tile in bytes.
const TileSize = 32 << TileHeight

// Tile is the tile N of a level with the hashes known so far: 32 bytes each,
// at least one and at most 256. A smaller one is the beginning of the full one,
// so the tile of an older, smaller tree is a prefix of what is kept.
type Tile struct {
	Level int
	N     int64
	Data  []byte
}

// Tiles reads what was kept for a tile; an absent one is an error.
type Tiles func(level int, n int64) ([]byte, error)

// Reader reads the stored hashes of a tree from tiles that hold at least it.
// Each call reads a tile at most once.
func (t Tiles) Reader() HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		read := map[place][]byte{}
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			var err error
			if out[i], err = t.hash(read, index); err != nil {
				return nil, err
			}
		}
		return out, nil
	})
}

// place says which tile.
type place struct {
	Level int
	N     int64
}

func (t Tiles) hash(read map[place][]byte, index int64) (tlog.Hash, error) {
	tile := tlog.TileForIndex(TileHeight, index)
	at := place{tile.L, tile.N}
	data, ok := read[at]
	if !ok {
		var err error
		if data, err = t(tile.L, tile.N); err != nil {
			return tlog.Hash{}, fmt.Errorf("read tile %d of level %d: %w", tile.N, tile.L, err)
		}
		read[at] = data
	}
	if len(data) < tile.W*tlog.HashSize || len(data) > TileSize {
		return tlog.Hash{}, fmt.Errorf("tile %d of level %d has %d bytes, want at least %d", tile.N, tile.L, len(data), tile.W*tlog.HashSize)
	}
	h, err := tlog.HashFromTile(tile, data[:tile.W*tlog.HashSize], index)
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("tile %d of level %d: %w", tile.N, tile.L, err)
	}
	return h, nil
}

// Extended is what became of a tree that grew.
type Extended struct {
	Size  uint64
	Root  eventstore.Hash
	Tiles []Tile // those that changed, to be kept instead of the old ones
}

// Extend appends leaves to the tree of a size whose tiles t reads. It keeps
// nothing: the caller stores Tiles together with Size.
func (t Tiles) Extend(size uint64, leaves []eventstore.Hash) (Extended, error) {
	o := overlay{base: t, read: map[place][]byte{}, fresh: map[int64]tlog.Hash{}}
	r := tlog.HashReaderFunc(o.readHashes)
	for i, leaf := range leaves {
		n := int64(size) + int64(i)
		stored, err := tlog.StoredHashesForRecordHash(n, tlog.Hash(leaf), r)
		if err != nil {
			return Extended{}, fmt.Errorf("append leaf %d: %w", n, err)
		}
		first := tlog.StoredHashIndex(0, n)
		for k, h := range stored {
			o.fresh[first+int64(k)] = h
		}
	}
	grown := Extended{Size: size + uint64(len(leaves))}
	root, err := tlog.TreeHash(int64(grown.Size), r)
	if err != nil {
		return Extended{}, fmt.Errorf("root of size %d: %w", grown.Size, err)
	}
	grown.Root = eventstore.Hash(root)
	if len(leaves) == 0 {
		return grown, nil
	}
	for _, tile := range tlog.NewTiles(TileHeight, int64(size), int64(grown.Size)) {
		data, err := tlog.ReadTileData(tile, r)
		if err != nil {
			return Extended{}, fmt.Errorf("tile %d of level %d: %w", tile.N, tile.L, err)
		}
		grown.Tiles = append(grown.Tiles, Tile{Level: tile.L, N: tile.N, Data: data})
	}
	return grown, nil
}

// overlay reads hashes that are not in tiles yet.
type overlay struct {
	base  Tiles
	read  map[place][]byte
	fresh map[int64]tlog.Hash // by stored hash index
}

func (o *overlay) readHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		h, ok := o.fresh[index]
		if !ok {
			var err error
			if h, err = o.base.hash(o.read, index); err != nil {
				return nil, err
			}
		}
		out[i] = h
	}
	return out, nil
}

// TilePath is the C2SP path of a tile of the given width behind the log's
// prefix: "tile/0/x001/067" or, when it is not full, "tile/0/000.p/5".
func TilePath(level int, n int64, width int) string {
	t := tlog.Tile{H: TileHeight, L: level, N: n, W: width}
	return "tile/" + t.Path()[len("tile/8/"):]
}

// ParseTilePath reads what TilePath writes, and nothing else.
func ParseTilePath(path string) (level int, n int64, width int, err error) {
	const prefix = "tile/"
	if len(path) <= len(prefix) || path[:len(prefix)] != prefix {
		return 0, 0, 0, fmt.Errorf("tile path %q: want tile/<level>/<index> as in C2SP tlog-tiles", path)
	}
	t, err := tlog.ParseTilePath("tile/8/" + path[len(prefix):])
	if err != nil || t.L < 0 {
		return 0, 0, 0, fmt.Errorf("tile path %q: want tile/<level>/<index> as in C2SP tlog-tiles", path)
	}
	return t.L, t.N, t.W, nil
}
