"""What the messages on an idle connection prove. Pure."""
