package nft

import (
	"encoding/base64"
	"fmt"
)

// Recording is what nf_tables has answered, by question: a rule set for tests.
type Recording map[string][]string

func (r request) String() string {
	return fmt.Sprintf("%d %t %d %s", r.message, r.dump, r.family, base64.StdEncoding.EncodeToString(r.attrs))
}

// Record reads the whole rule set of this network namespace.
func Record() (Recording, error) {
	k, err := openKernel()
	if err != nil {
		return nil, err
	}
	defer k.close()
	recording := Recording{}
	ask := func(r request) ([][]byte, error) {
		answers, err := k.ask(r)
		texts := make([]string, 0, len(answers))
		for _, a := range answers {
			texts = append(texts, base64.StdEncoding.EncodeToString(a))
		}
		recording[r.String()] = texts
		return answers, err
	}
	rules, err := readFrom(ask)
	if err != nil {
		return nil, err
	}
	const table, chainName, setName = 1, 3, 2
	for _, family := range []uint8{familyInet, familyIPv4} {
		chains, err := ask(request{message: getChain, dump: true, family: family})
		if err != nil {
			return nil, err
		}
		for _, c := range chains {
			f := fields(c)
			rules.rulesOf(chainKey{family, text(f[table]), text(f[chainName])})
		}
		sets, err := k.ask(request{message: getSet, dump: true, family: family})
		if err != nil {
			return nil, err
		}
		for _, s := range sets {
			f := fields(s)
			rules.setOf(setKey{family, text(f[table]), text(f[setName])})
		}
	}
	return recording, rules.Err()
}

// Replay is a rule set from a recording.
func Replay(recording Recording) (*Ruleset, error) {
	return readFrom(func(r request) (answers [][]byte, err error) {
		texts, ok := recording[r.String()]
		if !ok {
			return nil, fmt.Errorf("the recording has no answer to %s", r)
		}
		for _, t := range texts {
			a, err := base64.StdEncoding.DecodeString(t)
			if err != nil {
				return nil, err
			}
			answers = append(answers, a)
		}
		return answers, nil
	})
}
