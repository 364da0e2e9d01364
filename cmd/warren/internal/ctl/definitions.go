package ctl

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

const definitionsGroup = "Definitions"

var definitionCommands = []*command{
	{name: "export_definitions", group: definitionsGroup, args: "<file_path | \"-\"> [--format <json>]", least: 1, most: 1, help: "Exports definitions in JSON", run: exportDefinitions,
		banner: func(c *call) string {
			if c.args[0] == "-" {
				return ""
			}
			return fmt.Sprintf("Exporting definitions in JSON to a file at %q ...", c.args[0])
		}},
	{name: "import_definitions", group: definitionsGroup, args: "<file_path> [--format <json>] [--timeout <timeout>]", most: 1, help: "Imports definitions in JSON",
		run: importDefinitions, banner: func(c *call) string {
			if len(c.args) == 0 || c.args[0] == "-" {
				return "Importing definitions in JSON from standard input ..."
			}
			return fmt.Sprintf("Importing definitions in JSON from a file at %q ...", c.args[0])
		}},
}

func exportDefinitions(c *call) (output, error) {
	var raw json.RawMessage
	if err := c.client.get(api("definitions"), &raw); err != nil {
		return output{}, err
	}
	if c.args[0] == "-" {
		_, err := c.Stdout.Write(raw)
		return output{}, err
	}
	return output{}, os.WriteFile(c.args[0], raw, 0o600) // it holds the hashes of passwords
}

func importDefinitions(c *call) (output, error) {
	var text []byte
	var err error
	if len(c.args) == 0 || c.args[0] == "-" {
		text, err = io.ReadAll(c.Stdin)
	} else if text, err = os.ReadFile(c.args[0]); os.IsNotExist(err) {
		return output{}, failPlain(exitData, "Error (argument validation): Bad argument: File %s does not exist", c.args[0])
	}
	if err != nil {
		return output{}, err
	}
	if err := c.client.do(http.MethodPost, api("definitions"), text, nil); err != nil {
		return output{}, asData(err)
	}
	return say("Successfully imported the definitions."), nil
}
