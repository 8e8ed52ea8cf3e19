package relay

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// CheckWords spells the first n bytes of digest as words, so that two people can compare
// them by voice or eye: eight words for an agency's key over the telephone, four for a grant
// on a second screen. digest is hex or base64url.
func CheckWords(digest string, n int) (string, error) {
	raw, err := hex.DecodeString(digest)
	if err != nil {
		if raw, err = base64.RawURLEncoding.DecodeString(digest); err != nil {
			return "", fmt.Errorf("check words: %q is neither hex nor base64url", digest)
		}
	}
	if len(raw) < n {
		return "", fmt.Errorf("check words: %d bytes are too few for %d words", len(raw), n)
	}
	out := make([]string, n)
	for i := range out {
		out[i] = words[raw[i]]
	}
	return strings.Join(out, " "), nil
}

// words are 256 short English nouns that sound unlike one another.
var words = strings.Fields(`
acorn actor album alley amber anchor angel ankle apple apron arrow atlas attic autumn award bacon
badge baker bamboo banjo barrel basin basket beach beaver bell bench berry bicycle bishop blanket blossom
board bonnet border bottle branch bread brick bridge brush bucket buffalo bugle butter button cabin cactus
camel camera canal candle canoe canyon carbon cargo carpet carrot castle cedar cello chalk cherry chimney
cinema circle circus clay clock clover coach cobra coconut coffee comet compass copper coral cotton cousin
cradle crayon cricket crown crystal curtain dagger daisy dancer deer desert diamond dinner doctor dolphin donkey
dragon drawer drum eagle easel echo elbow elephant engine envelope fabric falcon farmer feather ferry fiddle
finger flag flame flute forest fossil fountain fox galaxy garden garlic ghost giant ginger giraffe glacier
globe glove goat guitar hammer harbor harvest hazel helmet hermit honey hornet hotel iceberg igloo insect
island ivory jacket jaguar jelly jewel jungle kangaroo kettle kitten knight ladder lagoon lantern lemon leopard
lettuce library lily lizard lobster locket magnet mango maple marble market meadow melon meteor mirror monkey
mosaic mountain mushroom needle nickel nutmeg oasis ocean olive onion opera orange orchid otter oyster paddle
palace panda paper parrot peach peanut pebble pencil penguin pepper piano pigeon pillow pirate planet plum
pocket poet pony poppy potato prairie pumpkin puppet puzzle quail quartz rabbit raccoon radio raven ribbon
river robin rocket saddle salmon sandal sapphire satin scarf shadow shovel silver sparrow spider spoon squirrel
sunset tailor teapot temple thunder tiger timber tomato trumpet tulip tunnel turtle umbrella valley velvet violin
`)
